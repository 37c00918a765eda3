/** Where the variables of a container come from, and what files of a volume can say of the pod. Types only. */
/** One variable: a value, or one source of it. */
export interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly configMapKeyRef?: { readonly name: string; readonly key: string; readonly optional?: boolean };
    readonly secretKeyRef?: { readonly name: string; readonly key: string; readonly optional?: boolean };
    readonly fieldRef?: ObjectFieldSelector;
    readonly resourceFieldRef?: ResourceFieldSelector;
  };
}

/** A field of the pod itself. */
export interface ObjectFieldSelector {
  readonly fieldPath: string;
  readonly apiVersion?: string;
}

/** A request or limit of a container, divided by `divisor` and rounded up. */
export interface ResourceFieldSelector {
  /** `limits.cpu`, `requests.memory`, … */
  readonly resource: string;
  /** Required in volumes; in a container's environment the container itself is meant. */
  readonly containerName?: string;
  /** A quantity. Default 1. */
  readonly divisor?: string;
}

/** A ConfigMap or Secret each of whose keys becomes a variable. */
export interface EnvFromSource {
  readonly prefix?: string;
  readonly configMapRef?: { readonly name: string; readonly optional?: boolean };
  readonly secretRef?: { readonly name: string; readonly optional?: boolean };
}
