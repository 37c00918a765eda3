/** What the kubelet's codes mean and what helps; the code is the `reason` of a waiting container. */
import type { MessageTable } from "#lib/messages.ts";
import type { KubeletCode } from "./errors.ts";
import type { LogError } from "./logs/errors.ts";

export const kubeletMessages: MessageTable<KubeletCode> = {
  ErrImagePull: {
    sentence: "No entry of the image map stands for the container's image",
    hint: "add the image to an image map, then: wherry down; wherry up --images FILE",
  },
  CreateContainerConfigError: {
    sentence: "A ConfigMap, Secret or field that the container refers to is missing",
    hint: "create what the message names: wherry apply -f FILE",
  },
  CreateContainerError: {
    sentence: "The container's root file system or a volume cannot be made",
    hint: "see the message of the container: wherry get pod NAME -o yaml",
  },
  RunContainerError: {
    sentence: "The container's command cannot be started",
    hint: "correct command and args in the pod, or command in the image map",
  },
  FailedMount: {
    sentence: "A volume cannot be made because something that it is made of is missing",
    hint: "create the ConfigMap or Secret that the message names: wherry apply -f FILE",
  },
  FailedCreatePodSandBox: {
    sentence: "The pod's network cannot be made: no address is left, or a program failed",
    hint: "see the node agent's log; delete pods that are not needed: wherry delete pod NAME",
  },
};

export const logMessages: MessageTable<LogError["code"]> = {
  NotFound: { sentence: "There is no such pod or container", hint: "see what there is: wherry get pods -A" },
  BadRequest: {
    sentence: "The request for logs cannot be read, or the container has written none yet",
    hint: "name a container that runs: wherry logs POD -c CONTAINER",
  },
};
