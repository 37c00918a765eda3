/**
 * Each Namespace has a ServiceAccount `default`, and the ConfigMap `kube-root-ca.crt` with the cluster's authority.
 *
 *   Namespaces, ServiceAccounts, ConfigMaps `kube-root-ca.crt` ─▶ reconcile(namespace) ─▶ what is missing or changed
 *
 * Follows: k8s.io/kubernetes pkg/controller/serviceaccount, pkg/controller/certificates/rootcacertpublisher.
 */
import { Informer } from "#api/client/informer.ts";
import { type ConfigMap, configMaps } from "#api/core/configmap.ts";
import { serviceAccounts } from "#api/core/service-account.ts";
import { parseKey } from "#api/meta.ts";
import { isAlreadyExists, isNotFound } from "#api/status.ts";
import { type Context, type Controller, createQueue } from "./context.ts";

/** What every pod's token volume takes the authority from. */
const rootCAName = "kube-root-ca.crt";
const descriptionAnnotation = "kubernetes.io/description";
const description =
  "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

export function createServiceAccountController(context: Context): Controller {
  const { client, informers } = context;
  const queue = createQueue("serviceaccount", context, async (namespace) => {
    if (!isActive(context, namespace)) return;
    if (informers.serviceAccounts.get({ namespace, name: "default" }) !== undefined) return;
    const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "default", namespace } };
    await client.create(serviceAccounts, account).catch((error: unknown) => {
      if (!isAlreadyExists(error) && !isNotFound(error)) throw error;
    });
  });
  informers.namespaces.addHandler({ added: ({ metadata }) => queue.add(metadata.name) });
  informers.serviceAccounts.addHandler({ deleted: ({ metadata }) => queue.add(metadata.namespace ?? "") });
  return { name: "serviceaccount", start: (signal) => queue.start(signal) };
}

/** `ca`: PEM text. */
export function createRootCAPublisher(context: Context, { ca }: { readonly ca: string }): Controller {
  const { client, informers } = context;
  const selector = { fieldSelector: `metadata.name=${rootCAName}` };
  const published = new Informer(configMaps, { ...context, selector });
  const queue = createQueue("root-ca-certificate-publisher", context, async (namespace) => {
    if (!isActive(context, namespace)) return;
    const wanted = rootCAOf(namespace, ca);
    const found = published.get({ namespace, name: rootCAName });
    if (found === undefined)
      return void (await client.create(configMaps, wanted).catch((error: unknown) => {
        if (!isAlreadyExists(error) && !isNotFound(error)) throw error;
      }));
    const annotation = found.metadata.annotations?.[descriptionAnnotation];
    const { data = {} } = found;
    const isRight = Object.keys(data).length === 1 && data["ca.crt"] === ca && annotation !== undefined;
    if (isRight) return;
    const annotations = { ...found.metadata.annotations, ...wanted.metadata.annotations };
    await client.update(configMaps, { ...wanted, metadata: { ...found.metadata, annotations } });
  });
  const add = ({ metadata }: ConfigMap): void => queue.add(metadata.namespace ?? "");
  published.addHandler({ updated: add, deleted: add });
  informers.namespaces.addHandler({ added: ({ metadata }) => queue.add(metadata.name) });
  return {
    name: "root-ca-certificate-publisher",
    start: (signal) => {
      void published.run(signal);
      // Before the first list every ConfigMap would look missing.
      void published.synced.then(() => queue.start(signal));
    },
  };
}

function isActive({ informers }: Context, name: string): boolean {
  const namespace = informers.namespaces.get(parseKey(name));
  return namespace !== undefined && namespace.metadata.deletionTimestamp === undefined;
}

function rootCAOf(namespace: string, ca: string): ConfigMap {
  const annotations = { [descriptionAnnotation]: description };
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: rootCAName, namespace, annotations },
    data: { "ca.crt": ca },
  };
}
