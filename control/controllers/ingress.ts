/**
 * Ingresses: the Gateway that serves them all, and where each is reached.
 *
 *   the first Ingress of our class ─▶ Gateway kube-system/ingress ─▶ gateway.ts (Deployment, Service)
 *   that Service's address ─▶ status.loadBalancer of every Ingress
 *
 * What an Ingress routes is translated in snapshot/ingress.ts. With the last Ingress the Gateway goes, too.
 */
import { type Gateway, gateways } from "#api/gateway/gateway.ts";
import { apiVersionOf } from "#api/kind.ts";
import { formatKey, keyOf } from "#api/meta.ts";
import { type Ingress, ingresses } from "#api/networking/ingress.ts";
import { isEqual } from "#api/schema/read.ts";
import { isAlreadyExists, isNotFound } from "#api/status.ts";
import { gatewayWorkloadName } from "../snapshot/gateway-deployment.ts";
import { ingressGateway, isOurIngress } from "../snapshot/ingress.ts";
import { type Context, type Controller, createQueue } from "./context.ts";

const gateway: Gateway = {
  apiVersion: apiVersionOf(gateways),
  kind: gateways.kind,
  metadata: { ...ingressGateway, labels: { "app.kubernetes.io/managed-by": "wherry" } },
  spec: {
    gatewayClassName: "wherry",
    listeners: [{ name: "http", port: 80, protocol: "HTTP", allowedRoutes: { namespaces: { from: "All" } } }],
  },
};

export function createIngressController(context: Context): Controller {
  const { client, informers } = context;
  const service = { namespace: ingressGateway.namespace, name: gatewayWorkloadName(ingressGateway.name) };
  // One key: every change looks at all Ingresses, of which there are few.
  const queue = createQueue("ingress", context, async () => {
    const classes = new Map(informers.ingressClasses.list().map((each) => [each.metadata.name, each]));
    const ours = informers.ingresses.list().filter((ingress) => isOurIngress(ingress, classes));
    await ensureGateway(ours.length > 0);
    const ip = informers.services.get(service)?.spec.clusterIP ?? "";
    const status: NonNullable<Ingress["status"]> = { loadBalancer: ip === "" ? {} : { ingress: [{ ip }] } };
    for (const ingress of ours) {
      if (isEqual(ingress.status, status)) continue;
      await client.patchStatus(ingresses, keyOf(ingress), { status }).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    }
  });

  async function ensureGateway(wanted: boolean): Promise<void> {
    const found = informers.gateways.get(ingressGateway);
    if (wanted && found === undefined)
      await client.create(gateways, gateway).catch((error: unknown) => {
        if (!isAlreadyExists(error)) throw error;
      });
    // One that people made under this name stays.
    if (!wanted && found?.metadata.labels?.["app.kubernetes.io/managed-by"] === "wherry")
      await client.delete(gateways, ingressGateway).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
  }

  const look = (): void => queue.add("all");
  informers.ingresses.addHandler({ added: look, updated: look, deleted: look });
  informers.ingressClasses.addHandler({ added: look, updated: look, deleted: look });
  informers.gateways.addHandler({
    deleted: (object) => (formatKey(keyOf(object)) === formatKey(ingressGateway) ? look() : undefined),
  });
  const lookAtService = (object: { readonly metadata: { readonly name: string } }): void =>
    object.metadata.name === service.name ? look() : undefined;
  informers.services.addHandler({ added: lookAtService, updated: lookAtService, deleted: lookAtService });
  return { name: "ingress", start: (signal) => queue.start(signal) };
}
