/** Ingress: HTTP routes from outside to Services, served by a Gateway (control/snapshot/ingress.ts). */
import type { KubeObject } from "../meta.ts";
import { type FieldError, forbidden, invalidValue, requiredError } from "../schema/field-error.ts";
import type { Kind } from "../schema/kind.ts";
import { free, int, list, object, oneOf, port, string, unsupported } from "../schema/schema.ts";

export interface IngressBackend {
  readonly service?: {
    readonly name: string;
    readonly port?: { readonly name?: string; readonly number?: number };
  };
}

export interface IngressPath {
  readonly path?: string;
  readonly pathType: "Exact" | "Prefix" | "ImplementationSpecific";
  readonly backend: IngressBackend;
}

export interface Ingress extends KubeObject {
  readonly spec: {
    readonly ingressClassName?: string;
    readonly defaultBackend?: IngressBackend;
    readonly tls?: readonly { readonly hosts?: readonly string[]; readonly secretName?: string }[];
    readonly rules?: readonly {
      readonly host?: string;
      readonly http?: { readonly paths: readonly IngressPath[] };
    }[];
  };
  readonly status?: {
    readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string; readonly hostname?: string }[] };
  };
}

const backendFields = {
  service: object({
    name: string({ required: true, format: "dns1035Label" }),
    port: object({ name: string({ format: "portName" }), number: port() }),
  }),
  resource: unsupported(),
};

export const ingresses: Kind<Ingress> = {
  group: "networking.k8s.io",
  version: "v1",
  kind: "Ingress",
  plural: "ingresses",
  singular: "ingress",
  shortNames: ["ing"],
  namespaced: true,
  nameFormat: "dnsSubdomain",
  schema: object({
    spec: object(
      {
        ingressClassName: string({ format: "dnsSubdomain" }),
        defaultBackend: object(backendFields),
        tls: list(object({ hosts: list(string()), secretName: string() }), { unsupported: true }),
        rules: list(
          object({
            host: string({ format: "hostname" }),
            http: object({
              paths: list(
                object({
                  path: string(),
                  pathType: oneOf(["Exact", "Prefix", "ImplementationSpecific"], { required: true }),
                  backend: object(backendFields, { required: true }),
                }),
                { required: true },
              ),
            }),
          }),
        ),
      },
      { default: {} },
    ),
    status: object(
      {
        loadBalancer: object(
          {
            ingress: list(
              object({
                ip: string(),
                hostname: string(),
                ports: list(object({ port: int(), protocol: string(), error: string() })),
                ipMode: free(),
              }),
            ),
          },
          { default: {} },
        ),
      },
      { default: {} },
    ),
  }),
  validate: ingressErrors,
};

function ingressErrors({ spec }: Ingress): FieldError[] {
  if (spec.defaultBackend === undefined && (spec.rules ?? []).length === 0)
    return [invalidValue("spec", spec, "either `defaultBackend` or `rules` must be specified")];
  const errors = backendErrors(spec.defaultBackend, "spec.defaultBackend");
  for (const [at, { http }] of (spec.rules ?? []).entries())
    for (const [index, { path, pathType, backend }] of (http?.paths ?? []).entries()) {
      const where = `spec.rules[${at}].http.paths[${index}]`;
      if (pathType !== "ImplementationSpecific" && path?.startsWith("/") !== true)
        errors.push(invalidValue(`${where}.path`, path ?? "", "must be an absolute path"));
      errors.push(...backendErrors(backend, `${where}.backend`));
    }
  return errors;
}

function backendErrors(backend: IngressBackend | undefined, path: string): FieldError[] {
  const { name, number } = backend?.service?.port ?? {};
  if (backend?.service === undefined) return [];
  if (name !== undefined && number !== undefined)
    return [forbidden(`${path}.service.port`, "cannot set both port name & port number")];
  return name === undefined && number === undefined
    ? [requiredError(`${path}.service.port`, "port name or number is required")]
    : [];
}
