/** ObjectReference: names another object, or a part of it. k8s.io/api core/v1. */
export interface ObjectReference {
  readonly kind?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly uid?: string;
  readonly apiVersion?: string;
  readonly resourceVersion?: string;
  /** `spec.containers{app}` */
  readonly fieldPath?: string;
}
