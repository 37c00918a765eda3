/** Errors of the kubelet. The code becomes the `reason` that users see on a waiting container. */
import { CodedError } from "#lib/errors.ts";

export type KubeletCode =
  | "ErrImagePull" // no entry of the image map stands for the image
  | "CreateContainerConfigError" // a ConfigMap, Secret or field that the container refers to is missing
  | "CreateContainerError" // the root file system or a volume cannot be made
  | "RunContainerError" // the command cannot be started
  | "FailedMount" // a volume cannot be made: something that it is made of is missing
  | "FailedCreatePodSandBox"; // no address left, or the pod's network cannot be made

export class KubeletError extends CodedError<KubeletCode> {}
