/**
 * Logs of a pod's container, fetched from the kubelet of its node.
 *
 *   GET pods/<name>/log?container=&follow=&tailLines=… ─▶ logTarget() ─▶ OpenLog ─▶ bytes
 *
 * Follows: k8s.io/kubernetes pkg/registry/core/pod (LogLocation), pkg/apis/core/validation (ValidatePodLogOptions).
 */
import { type Pod, pods } from "#api/core/pod.ts";
import type { ObjectKey } from "#api/meta.ts";
import { type FieldError, forbidden, invalidError, invalidValue } from "#api/schema/field-error.ts";
import { StatusError } from "#api/status.ts";
import { type KubeletAddress, kubeletOf } from "../kubelet-address.ts";
import { isTrue } from "../query.ts";
import { mustGet, type Registry } from "../registry.ts";

export interface LogTarget extends KubeletAddress {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  /** follow, tailLines, …: passed on as they are. */
  readonly query: URLSearchParams;
  /** Take the log from whoever answers at the kubelet's address. */
  readonly isUnverified: boolean;
}

/** Opens a container's log. Throws StatusError for what the kubelet refuses. The bytes end when `signal` aborts. */
export type OpenLog = (target: LogTarget, signal: AbortSignal) => Promise<AsyncIterable<Uint8Array>>;

/** Where a pod's log is; undefined: nowhere yet. Throws NotFound, Invalid, BadRequest when the container is not clear. */
export function logTarget(registry: Registry, key: ObjectKey, query: URLSearchParams): LogTarget | undefined {
  const options = readLogOptions(query, key.name);
  const pod = mustGet(registry, pods, key) as Pod;
  const container = chooseContainer(pod, query.get("container") ?? "");
  const { nodeName = "" } = pod.spec;
  if (nodeName === "") return undefined;
  return {
    ...kubeletOf(registry, nodeName),
    namespace: key.namespace ?? "",
    pod: key.name,
    container,
    query: options,
    isUnverified: isTrue(query.get("insecureSkipTLSVerifyBackend")),
  };
}

const flags = ["follow", "previous", "timestamps"];
const numbers = ["limitBytes", "sinceSeconds", "tailLines"] as const;

/** What the kubelet is asked, checked. Throws BadRequest for what cannot be read, Invalid for what makes no sense. */
export function readLogOptions(query: URLSearchParams, podName: string): URLSearchParams {
  const options = new URLSearchParams();
  for (const name of flags) {
    const value = query.get(name);
    if (value !== null && value !== "" && !/^(1|0|t|f|true|false)$/i.test(value))
      throw new StatusError("BadRequest", `strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`);
    if (value !== null && isTrue(value.toLowerCase().replace(/^t$/, "true"))) options.set(name, "true");
  }
  for (const name of numbers) {
    const value = query.get(name);
    if (value === null || value === "") continue;
    if (!/^[+-]?[0-9]{1,15}$/.test(value))
      throw new StatusError("BadRequest", `strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
    options.set(name, String(Number(value)));
  }
  const sinceTime = query.get("sinceTime");
  if (sinceTime !== null && sinceTime !== "") {
    if (Number.isNaN(Date.parse(sinceTime)))
      throw new StatusError("BadRequest", `parsing time ${JSON.stringify(sinceTime)}: wanted RFC 3339`);
    options.set("sinceTime", sinceTime);
  }
  const errors = optionErrors(options);
  const kind = { ...pods, kind: "PodLogOptions" };
  if (errors.length > 0) throw invalidError(kind, podName, errors);
  return options;
}

function optionErrors(options: URLSearchParams): FieldError[] {
  const errors: FieldError[] = [];
  const check = (name: (typeof numbers)[number], min: number): void => {
    const value = options.get(name);
    if (value === null || Number(value) >= min) return;
    errors.push(
      invalidValue(name, Number(value), min === 0 ? "must be greater than or equal to 0" : "must be greater than 0"),
    );
  };
  check("tailLines", 0);
  check("limitBytes", 1);
  if (options.has("sinceSeconds") && options.has("sinceTime"))
    errors.push(forbidden("", "at most one of `sinceTime` or `sinceSeconds` may be specified"));
  else check("sinceSeconds", 1);
  return errors;
}

/** The container asked for, or the only one. Pure. The annotation of a default is for clients, which then ask by name. */
export function chooseContainer({ metadata, spec }: Pod, asked: string): string {
  const names = spec.containers.map(({ name }) => name);
  const initNames = (spec.initContainers ?? []).map(({ name }) => name);
  const [only] = names;
  if (asked === "" && names.length === 1 && only !== undefined) return only;
  if (asked === "") {
    const others = initNames.length === 0 ? "" : ` or one of the init containers: [${initNames.join(" ")}]`;
    throw new StatusError(
      "BadRequest",
      `a container name must be specified for pod ${metadata.name}, choose one of: [${names.join(" ")}]${others}`,
    );
  }
  if (!names.includes(asked) && !initNames.includes(asked))
    throw new StatusError("BadRequest", `container ${asked} is not valid for pod ${metadata.name}`);
  return asked;
}
