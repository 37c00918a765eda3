/**
 * Field numbers of object metadata and options, as facts: one message a paragraph, in the notation of messages.ts.
 *
 * Source: the struct tags in types.go of k8s.io/apimachinery pkg/apis/meta/v1.
 */

/** `meta`: what any object has. */
export const metaMessages: string = `
Condition: type=1:s status=2:s observedGeneration=3:i? lastTransitionTime=4:time reason=5:s message=6:s
DeleteOptions: gracePeriodSeconds=1:i preconditions=2:Preconditions orphanDependents=3:b propagationPolicy=4:s
  dryRun=5:s[] ignoreStoreReadErrorWithClusterBreakingPotential=6:b
FieldSelectorRequirement: key=1:s operator=2:s values=3:s[]
LabelSelector: matchLabels=1:s{} matchExpressions=2:LabelSelectorRequirement[]
LabelSelectorRequirement: key=1:s operator=2:s values=3:s[]
ObjectMeta: name=1:s? generateName=2:s? namespace=3:s? selfLink=4:s? uid=5:s? resourceVersion=6:s? generation=7:i?
  creationTimestamp=8:time deletionTimestamp=9:time deletionGracePeriodSeconds=10:i labels=11:s{} annotations=12:s{}
  ownerReferences=13:OwnerReference[] finalizers=14:s[]
OwnerReference: apiVersion=5:s kind=1:s name=3:s uid=4:s controller=6:b blockOwnerDeletion=7:b
Preconditions: uid=1:s resourceVersion=2:s
`;
