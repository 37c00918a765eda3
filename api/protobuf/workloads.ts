/**
 * Field numbers of workloads, as facts: one message a paragraph, in the notation of messages.ts.
 *
 * Source: the struct tags in types.go of k8s.io/api apps/v1, batch/v1, policy/v1, autoscaling/v1.
 */

/** `apps`: Deployment, ReplicaSet, DaemonSet, ControllerRevision. */
export const appsMessages: string = `
ControllerRevision: metadata=1:meta.ObjectMeta data=2:raw revision=3:i
DaemonSet: metadata=1:meta.ObjectMeta spec=2:DaemonSetSpec status=3:DaemonSetStatus
DaemonSetCondition: type=1:s status=2:s lastTransitionTime=3:time reason=4:s? message=5:s?
DaemonSetSpec: selector=1:meta.LabelSelector template=2:core.PodTemplateSpec updateStrategy=3:DaemonSetUpdateStrategy
  minReadySeconds=4:i? revisionHistoryLimit=6:i
DaemonSetStatus: currentNumberScheduled=1:i numberMisscheduled=2:i desiredNumberScheduled=3:i numberReady=4:i
  observedGeneration=5:i? updatedNumberScheduled=6:i? numberAvailable=7:i? numberUnavailable=8:i? collisionCount=9:i
  conditions=10:DaemonSetCondition[]
DaemonSetUpdateStrategy: type=1:s? rollingUpdate=2:RollingUpdateDaemonSet
Deployment: metadata=1:meta.ObjectMeta spec=2:DeploymentSpec status=3:DeploymentStatus
DeploymentCondition: type=1:s status=2:s lastUpdateTime=6:time lastTransitionTime=7:time reason=4:s? message=5:s?
DeploymentSpec: replicas=1:i selector=2:meta.LabelSelector template=3:core.PodTemplateSpec
  strategy=4:DeploymentStrategy minReadySeconds=5:i? revisionHistoryLimit=6:i paused=7:b? progressDeadlineSeconds=9:i
DeploymentStatus: observedGeneration=1:i? replicas=2:i? updatedReplicas=3:i? readyReplicas=7:i? availableReplicas=4:i?
  unavailableReplicas=5:i? terminatingReplicas=9:i conditions=6:DeploymentCondition[] collisionCount=8:i
DeploymentStrategy: type=1:s? rollingUpdate=2:RollingUpdateDeployment
ReplicaSet: metadata=1:meta.ObjectMeta spec=2:ReplicaSetSpec status=3:ReplicaSetStatus
ReplicaSetCondition: type=1:s status=2:s lastTransitionTime=3:time reason=4:s? message=5:s?
ReplicaSetSpec: replicas=1:i minReadySeconds=4:i? selector=2:meta.LabelSelector template=3:core.PodTemplateSpec
ReplicaSetStatus: replicas=1:i fullyLabeledReplicas=2:i? readyReplicas=4:i? availableReplicas=5:i?
  terminatingReplicas=7:i observedGeneration=3:i? conditions=6:ReplicaSetCondition[]
RollingUpdateDaemonSet: maxUnavailable=1:intOrString maxSurge=2:intOrString
RollingUpdateDeployment: maxUnavailable=1:intOrString maxSurge=2:intOrString
`;

/** `batch`: Job. */
export const batchMessages: string = `
Job: metadata=1:meta.ObjectMeta spec=2:JobSpec status=3:JobStatus
JobCondition: type=1:s status=2:s lastProbeTime=3:time lastTransitionTime=4:time reason=5:s? message=6:s?
JobSchedulingConfiguration:
JobSpec: parallelism=1:i completions=2:i activeDeadlineSeconds=3:i podFailurePolicy=11:PodFailurePolicy
  successPolicy=16:SuccessPolicy backoffLimit=7:i backoffLimitPerIndex=12:i maxFailedIndexes=13:i
  selector=4:meta.LabelSelector manualSelector=5:b template=6:core.PodTemplateSpec ttlSecondsAfterFinished=8:i
  completionMode=9:s suspend=10:b podReplacementPolicy=14:s managedBy=15:s scheduling=17:JobSchedulingConfiguration
JobStatus: conditions=1:JobCondition[] startTime=2:time completionTime=3:time active=4:i? succeeded=5:i? failed=6:i?
  terminating=11:i completedIndexes=7:s? failedIndexes=10:s uncountedTerminatedPods=8:UncountedTerminatedPods
  ready=9:i
PodFailurePolicy: rules=1:PodFailurePolicyRule[]
PodFailurePolicyOnExitCodesRequirement: containerName=1:s operator=2:s values=3:i[]
PodFailurePolicyOnPodConditionsPattern: type=1:s status=2:s
PodFailurePolicyRule: action=1:s onExitCodes=2:PodFailurePolicyOnExitCodesRequirement
  onPodConditions=3:PodFailurePolicyOnPodConditionsPattern[]
SuccessPolicy: rules=1:SuccessPolicyRule[]
SuccessPolicyRule: succeededIndexes=1:s succeededCount=2:i
UncountedTerminatedPods: succeeded=1:s[] failed=2:s[]
`;

/** `policy`: Eviction, PodDisruptionBudget. */
export const policyMessages: string = `
Eviction: metadata=1:meta.ObjectMeta deleteOptions=2:meta.DeleteOptions
PodDisruptionBudget: metadata=1:meta.ObjectMeta spec=2:PodDisruptionBudgetSpec status=3:PodDisruptionBudgetStatus
PodDisruptionBudgetSpec: minAvailable=1:intOrString selector=2:meta.LabelSelector maxUnavailable=3:intOrString
  unhealthyPodEvictionPolicy=4:s
PodDisruptionBudgetStatus: observedGeneration=1:i? disruptedPods=2:time{} disruptionsAllowed=3:i currentHealthy=4:i
  desiredHealthy=5:i expectedPods=6:i conditions=7:meta.Condition[]
`;

/** `autoscaling`: Scale. */
export const autoscalingMessages: string = `
Scale: metadata=1:meta.ObjectMeta spec=2:ScaleSpec status=3:ScaleStatus
ScaleSpec: replicas=1:i?
ScaleStatus: replicas=1:i selector=2:s?
`;
