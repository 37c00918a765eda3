/**
 * The writes of the Deployment controller, each with the event that tells of it.
 *
 *   controller.ts ─▶ create(), resize(), remove(), writeRevision(), writeStatus() ─▶ API server, events
 */
import { type Deployment, deployments } from "#api/apps/deployment.ts";
import { type ReplicaSet, replicaSets } from "#api/apps/replicaset.ts";
import type { KubeClient } from "#api/client/client.ts";
import type { EventRecorder } from "#api/client/events.ts";
import { controllerOf, keyOf } from "#api/meta.ts";
import { isAlreadyExists, ignoreNotFound } from "#api/status.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { OwnedIndex } from "../owned.ts";
import { statusPatch, withCondition } from "../workload/condition.ts";
import { isNamespaceTerminating } from "../workload/pod-control.ts";
import { type Change, revisionAnnotation, wantedOf, withoutHash } from "./replica-sets.ts";
import { hasDeadline, progressing } from "./status.ts";

export interface DeploymentWriterOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly index: OwnedIndex<ReplicaSet>;
  readonly events: EventRecorder;
  /** Reconciles the Deployment once more in a moment. */
  readonly again: (deployment: Deployment) => void;
}

export class DeploymentWriter {
  readonly #options: DeploymentWriterOptions;

  constructor(options: DeploymentWriterOptions) {
    this.#options = options;
  }

  /** Whether the ReplicaSet is there now. */
  async create(deployment: Deployment, wanted: ReplicaSet): Promise<boolean> {
    try {
      this.#options.index.wrote(deployment, await this.#options.client.create(replicaSets, wanted));
    } catch (error) {
      if (isNamespaceTerminating(error)) return false;
      if (isAlreadyExists(error)) return this.#avoidClash(deployment, wanted);
      const message = `Failed to create new replica set "${wanted.metadata.name}": ${messageOf(error)}`;
      this.#options.events.record(deployment, "Warning", "ReplicaSetCreateError", message);
      const verdict = progressing("False", "ReplicaSetCreateError", message);
      const conditions = withCondition(deployment.status?.conditions ?? [], verdict, this.#options.clock.nowMs(), {
        stamp: true,
      });
      if (hasDeadline(deployment)) await this.writeStatus(deployment, { ...deployment.status, conditions });
      throw error;
    }
    const { replicas = 0 } = wanted.spec;
    const message = `Scaled up replica set ${wanted.metadata.name} from 0 to ${replicas}`;
    if (replicas > 0) this.#options.events.record(deployment, "Normal", "ScalingReplicaSet", message);
    return true;
  }

  /** One of that name is there: ours, of a moment ago, or somebody else's, for which the next hash differs. */
  async #avoidClash(deployment: Deployment, wanted: ReplicaSet): Promise<boolean> {
    const found = await this.#options.client.get(replicaSets, keyOf(wanted)).catch(ignoreNotFound);
    const template = found?.spec.template;
    const isOurs =
      found !== undefined &&
      template !== undefined &&
      controllerOf(found)?.uid === deployment.metadata.uid &&
      withoutHash(template) === withoutHash(deployment.spec.template);
    if (isOurs) this.#options.index.wrote(deployment, found);
    else {
      const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
      await this.writeStatus(deployment, { ...deployment.status, collisionCount });
    }
    this.#options.again(deployment);
    return false;
  }

  async remove(deployment: Deployment, replicaSet: ReplicaSet): Promise<void> {
    const { client, index } = this.#options;
    const preconditions = { uid: replicaSet.metadata.uid ?? "" };
    index.wrote(deployment, await client.delete(replicaSets, keyOf(replicaSet), { preconditions }));
  }

  /** Writes a new size, and what goes with it. */
  async resize(deployment: Deployment, { replicaSet, replicas, annotations, minReadySeconds }: Change): Promise<void> {
    const before = wantedOf(replicaSet);
    const { uid } = replicaSet.metadata;
    const spec = { replicas, ...(minReadySeconds === undefined ? {} : { minReadySeconds }) };
    const patch = { metadata: { uid, annotations }, spec };
    this.#options.index.wrote(deployment, await this.#options.client.patch(replicaSets, keyOf(replicaSet), patch));
    if (replicas === before) return;
    const direction = replicas > before ? "up" : "down";
    const message = `Scaled ${direction} replica set ${replicaSet.metadata.name} from ${before} to ${replicas}`;
    this.#options.events.record(deployment, "Normal", "ScalingReplicaSet", message);
  }

  /** Writes the number of the present template on the Deployment. */
  async writeRevision(deployment: Deployment, revision: string | undefined): Promise<void> {
    if (revision === undefined) return;
    const { uid } = deployment.metadata;
    const patch = { metadata: { uid, annotations: { [revisionAnnotation]: revision } } };
    await this.#options.client.patch(deployments, keyOf(deployment), patch).catch(ignoreNotFound);
  }

  async writeStatus(deployment: Deployment, status: object): Promise<void> {
    const patch = statusPatch(deployment, status);
    if (patch !== undefined)
      await this.#options.client.patchStatus(deployments, keyOf(deployment), patch).catch(ignoreNotFound);
  }
}
