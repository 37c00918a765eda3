/** HTTPRoute of Gateway API v1. A parentRef to a Gateway routes traffic that enters; one to a Service routes traffic in the mesh (GAMMA). */
import type { KindRef } from "../kind.ts";
import type { Condition, KubeObject } from "../meta.ts";

export interface ParentReference {
  readonly group?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name: string;
  readonly sectionName?: string;
  readonly port?: number;
}

export interface HTTPPathMatch {
  readonly type?: "Exact" | "PathPrefix" | "RegularExpression";
  readonly value?: string;
}

export interface HTTPHeaderMatch {
  readonly type?: "Exact" | "RegularExpression";
  readonly name: string;
  readonly value: string;
}

export interface HTTPRouteMatch {
  readonly path?: HTTPPathMatch;
  readonly headers?: readonly HTTPHeaderMatch[];
  readonly queryParams?: readonly HTTPHeaderMatch[];
  readonly method?: string;
}

export interface HTTPBackendRef {
  readonly group?: string;
  readonly kind?: string;
  readonly namespace?: string;
  readonly name: string;
  readonly port?: number;
  /** 0 to 1,000,000. Default 1; 0 gets no traffic. */
  readonly weight?: number;
  readonly filters?: readonly Readonly<Record<string, unknown>>[];
}

export interface HTTPRouteRule {
  readonly name?: string;
  readonly matches?: readonly HTTPRouteMatch[];
  readonly filters?: readonly Readonly<Record<string, unknown>>[];
  readonly backendRefs?: readonly HTTPBackendRef[];
  readonly timeouts?: { readonly request?: string; readonly backendRequest?: string };
}

export interface HTTPRoute extends KubeObject {
  readonly spec: {
    readonly parentRefs?: readonly ParentReference[];
    readonly hostnames?: readonly string[];
    readonly rules?: readonly HTTPRouteRule[];
  };
  readonly status?: {
    readonly parents: readonly {
      readonly parentRef: ParentReference;
      readonly controllerName: string;
      readonly conditions: readonly Condition[];
    }[];
  };
}

export const httpRoutes: KindRef<HTTPRoute> = {
  group: "gateway.networking.k8s.io",
  version: "v1",
  kind: "HTTPRoute",
  plural: "httproutes",
  singular: "httproute",
  shortNames: [],
  namespaced: true,
};
