/** HTTPRoute of Gateway API v1. A parentRef to a Gateway routes traffic that enters; one to a Service routes traffic in the mesh (GAMMA). */
import type { Condition, KubeObject } from "../meta.ts";
import { type FieldError, invalidValue } from "../schema/field-error.ts";
import { conditionsSchema, type Kind } from "../schema/kind.ts";
import { free, int, list, object, oneOf, port, string, unsupported } from "../schema/schema.ts";

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

const gatewayGroup = "gateway.networking.k8s.io";

const parentRefSchema = object({
  group: string({ default: gatewayGroup }),
  kind: string({ default: "Gateway" }),
  namespace: string({ format: "dnsLabel" }),
  name: string({ required: true }),
  sectionName: string(),
  port: port(),
});

const matchSchema = object({
  path: object(
    {
      type: oneOf(["Exact", "PathPrefix", "RegularExpression"], { default: "PathPrefix" }),
      value: string({ default: "/", lengthMax: 1024 }),
    },
    { default: {} },
  ),
  headers: list(headerMatchSchema(), { keys: ["name"], itemsMax: 16 }),
  queryParams: list(headerMatchSchema(), { keys: ["name"], itemsMax: 16 }),
  method: oneOf(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]),
});

/** Filters pass through: what a filter may say, and whether it is honoured, is reported in the route's status. */
const filtersSchema = list(free(), { itemsMax: 16 });

const ruleSchema = object({
  name: string({ format: "dnsSubdomain" }),
  matches: list(matchSchema, { itemsMax: 64, default: [{}] }),
  filters: filtersSchema,
  backendRefs: list(
    object({
      group: string({ default: "" }),
      kind: string({ default: "Service" }),
      namespace: string({ format: "dnsLabel" }),
      name: string({ required: true }),
      port: port(),
      weight: int({ min: 0, max: 1_000_000, default: 1 }),
      filters: filtersSchema,
    }),
    { itemsMax: 16 },
  ),
  timeouts: object({ request: string({ format: "duration" }), backendRequest: string({ format: "duration" }) }),
  retry: unsupported(),
  sessionPersistence: unsupported(),
});

function headerMatchSchema(): ReturnType<typeof object> {
  return object({
    type: oneOf(["Exact", "RegularExpression"], { default: "Exact" }),
    name: string({ required: true, lengthMax: 256 }),
    value: string({ required: true, lengthMax: 4096 }),
  });
}

export const httpRoutes: Kind<HTTPRoute> = {
  group: "gateway.networking.k8s.io",
  version: "v1",
  kind: "HTTPRoute",
  plural: "httproutes",
  singular: "httproute",
  shortNames: [],
  namespaced: true,
  nameFormat: "dnsSubdomain",
  schema: object({
    spec: object(
      {
        parentRefs: list(parentRefSchema, { itemsMax: 32 }),
        hostnames: list(string({ format: "hostname" }), { itemsMax: 16 }),
        rules: list(ruleSchema, { itemsMax: 16, default: [{}] }),
        useDefaultGateways: string({ unsupported: true }),
      },
      { required: true },
    ),
    status: object({
      parents: list(
        object({
          parentRef: parentRefSchema,
          controllerName: string({ required: true }),
          conditions: conditionsSchema,
        }),
      ),
    }),
  }),
  validate: ({ spec }) => (spec.rules ?? []).flatMap((rule, index) => ruleErrors(rule, `spec.rules[${index}]`)),
};

function ruleErrors(rule: HTTPRouteRule, path: string): FieldError[] {
  return [
    ...(rule.matches ?? []).flatMap((match, index) => pathErrors(match, `${path}.matches[${index}].path.value`)),
    ...(rule.backendRefs ?? []).flatMap((ref, index) =>
      ref.kind === "Service" && ref.group === "" && ref.port === undefined
        ? [invalidValue(`${path}.backendRefs[${index}]`, ref.name, "Must have port for Service reference")]
        : [],
    ),
  ];
}

/** Rules of the path types, as the CRD's validation has them: anything else could match by accident. */
function pathErrors({ path }: HTTPRouteMatch, at: string): FieldError[] {
  const value = path?.value ?? "/";
  if (path?.type === "RegularExpression") return [];
  if (!value.startsWith("/")) return [invalidValue(at, value, "must be an absolute path and start with '/'")];
  const forbiddenPart = ["//", "/./", "/../", "%2f", "%2F", "#"].find((part) => value.includes(part));
  return forbiddenPart === undefined && !/\/\.\.?$/.test(value)
    ? []
    : [invalidValue(at, value, `must not contain '${forbiddenPart ?? "/. or /.. at its end"}'`)];
}
