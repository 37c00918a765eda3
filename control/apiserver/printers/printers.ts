/** Which printer shows which kind. A kind without one shows name and age, as a custom resource without columns does. */
import type { KindRef } from "#api/kind.ts";
import type { KubeObject } from "#api/meta.ts";
import {
  configMapPrinter,
  eventPrinter,
  leasePrinter,
  namespacePrinter,
  nodePrinter,
  secretPrinter,
  serviceAccountPrinter,
} from "./core.ts";
import {
  endpointSlicePrinter,
  endpointsPrinter,
  gatewayClassPrinter,
  gatewayPrinter,
  httpRoutePrinter,
  ingressClassPrinter,
  networkPolicyPrinter,
  ingressPrinter,
  servicePrinter,
} from "./network.ts";
import { podPrinter } from "./pods.ts";
import { ageOf, column, type Printer } from "./printer.ts";
import {
  budgetPrinter,
  controllerRevisionPrinter,
  daemonSetPrinter,
  deploymentPrinter,
  jobPrinter,
  replicaSetPrinter,
  replicationControllerPrinter,
} from "./workloads.ts";

/** By group and plural. */
const printers: Readonly<Record<string, Printer>> = {
  "/pods": podPrinter,
  "/services": servicePrinter,
  "/nodes": nodePrinter,
  "/namespaces": namespacePrinter,
  "/configmaps": configMapPrinter,
  "/secrets": secretPrinter,
  "/serviceaccounts": serviceAccountPrinter,
  "/events": eventPrinter,
  "/endpoints": endpointsPrinter,
  "/replicationcontrollers": replicationControllerPrinter,
  "apps/deployments": deploymentPrinter,
  "apps/replicasets": replicaSetPrinter,
  "apps/daemonsets": daemonSetPrinter,
  "apps/controllerrevisions": controllerRevisionPrinter,
  "batch/jobs": jobPrinter,
  "policy/poddisruptionbudgets": budgetPrinter,
  "coordination.k8s.io/leases": leasePrinter,
  "networking.k8s.io/ingresses": ingressPrinter,
  "networking.k8s.io/ingressclasses": ingressClassPrinter,
  "networking.k8s.io/networkpolicies": networkPolicyPrinter,
  "discovery.k8s.io/endpointslices": endpointSlicePrinter,
  "gateway.networking.k8s.io/gateways": gatewayPrinter,
  "gateway.networking.k8s.io/gatewayclasses": gatewayClassPrinter,
  "gateway.networking.k8s.io/httproutes": httpRoutePrinter,
};

const defaultPrinter: Printer = {
  columns: [column("Name"), column("Age", "date")],
  cells: (object: KubeObject, nowMs: number) => [object.metadata.name, ageOf(object, nowMs)],
};

export function printerOf(kind: KindRef): Printer {
  return printers[`${kind.group}/${kind.plural}`] ?? defaultPrinter;
}
