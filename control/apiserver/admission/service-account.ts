/**
 * ServiceAccounts of pods: a new pod's must be there, and the pod gets a volume with its token, the cluster's authority
 * and its Namespace.
 *
 *   pod ─▶ 403 when the account is missing ─▶ volume kube-api-access-xxxxx, mounted where clients look for it
 *
 * Both are the operator's choice (AdmissionOptions).
 * Follows: k8s.io/kubernetes plugin/pkg/admission/serviceaccount.
 */
import type { Container, Pod, Volume } from "#api/core/pod.ts";
import { pods } from "#api/core/pod.ts";
import { type ServiceAccount, serviceAccounts } from "#api/core/service-account.ts";
import { generateName } from "../object-meta.ts";
import { forbidden, type Registry } from "../registry.ts";
import type { AdmissionPlugin } from "./admission.ts";

const mountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
/** Seconds; the API server knows this number and lets such tokens live longer. */
const tokenSeconds = 3607;
const fileMode = 0o644;

export const serviceAccount: AdmissionPlugin = {
  name: "ServiceAccount",
  resource: "core/pods",
  onUpdate: false,
  admit({ object, registry }): Pod {
    const pod = object as Pod;
    const { requireServiceAccounts = false, automountTokens = false } = registry.admission;
    if (pod.spec?.containers === undefined || (!requireServiceAccounts && !automountTokens)) return pod;
    const { namespace = "", name } = pod.metadata;
    const accountName = pod.spec.serviceAccountName ?? "default";
    const account = registry.cache.get<ServiceAccount>(serviceAccounts, { namespace, name: accountName });
    if (account === undefined && requireServiceAccounts)
      throw forbidden(
        pods,
        name,
        `error looking up service account ${namespace}/${accountName}: serviceaccount ${JSON.stringify(accountName)} not found`,
      );
    const isWanted = pod.spec.automountServiceAccountToken ?? account?.automountServiceAccountToken ?? true;
    return automountTokens && isWanted ? withToken(pod, registry) : pod;
  },
};

/** The time that a new Namespace's account `default` may take, in ms, and between two looks. kube-apiserver's. */
const triesMax = 10;
const tryMs = 100;

/** Waits a moment for the ServiceAccount `default` of a Namespace that was just made. */
export async function awaitServiceAccount(registry: Registry, namespace: string, spec: unknown): Promise<void> {
  if (registry.admission.requireServiceAccounts !== true) return;
  const { serviceAccountName = "default" } = (spec ?? {}) as { readonly serviceAccountName?: unknown };
  if (serviceAccountName !== "default") return;
  for (let tries = 0; tries < triesMax; tries += 1) {
    if (registry.cache.get(serviceAccounts, { namespace, name: "default" }) !== undefined) return;
    await registry.clock.sleep(tryMs);
  }
}

function withToken(pod: Pod, registry: Registry): Pod {
  const { containers, initContainers, volumes = [] } = pod.spec;
  const name = generateName("kube-api-access-", registry.random);
  const mounted = (container: Container): Container => mount(container, name);
  const next = containers.map(mounted);
  const nextInit = initContainers?.map(mounted);
  const isUsed = [...next, ...(nextInit ?? [])].some(
    (container) => container.volumeMounts?.some((volumeMount) => volumeMount.name === name) === true,
  );
  // Every container brings something of its own to that place.
  if (!isUsed) return pod;
  return {
    ...pod,
    spec: {
      ...pod.spec,
      containers: next,
      ...(nextInit === undefined ? {} : { initContainers: nextInit }),
      volumes: [...volumes, tokenVolume(name)],
    },
  };
}

function mount(container: Container, name: string): Container {
  const { volumeMounts = [] } = container;
  if (volumeMounts.some((other) => other.mountPath === mountPath)) return container;
  return { ...container, volumeMounts: [...volumeMounts, { name, readOnly: true, mountPath }] };
}

function tokenVolume(name: string): Volume {
  const namespaceFile = { path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } };
  return {
    name,
    projected: {
      defaultMode: fileMode,
      sources: [
        { serviceAccountToken: { expirationSeconds: tokenSeconds, path: "token" } },
        { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
        { downwardAPI: { items: [namespaceFile] } },
      ],
    },
  };
}
