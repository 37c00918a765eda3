/**
 * Field numbers of Ingress, EndpointSlice and Lease, as facts: one message a paragraph, in the notation of messages.ts.
 *
 * Source: the struct tags in types.go of k8s.io/api networking/v1, discovery/v1, coordination/v1.
 */

/** `networking`: Ingress. */
export const networkingMessages: string = `
HTTPIngressPath: path=1:s? pathType=3:s backend=2:IngressBackend
HTTPIngressRuleValue: paths=1:HTTPIngressPath[]
Ingress: metadata=1:meta.ObjectMeta spec=2:IngressSpec status=3:IngressStatus
IngressBackend: service=4:IngressServiceBackend resource=3:core.TypedLocalObjectReference
IngressLoadBalancerIngress: ip=1:s? hostname=2:s? ports=4:IngressPortStatus[]
IngressLoadBalancerStatus: ingress=1:IngressLoadBalancerIngress[]
IngressPortStatus: port=1:i protocol=2:s error=3:s
IngressRule: host=1:s? @=2:IngressRuleValue
IngressRuleValue: http=1:HTTPIngressRuleValue
IngressServiceBackend: name=1:s port=2:ServiceBackendPort
IngressSpec: ingressClassName=4:s defaultBackend=1:IngressBackend tls=2:IngressTLS[] rules=3:IngressRule[]
IngressStatus: loadBalancer=1:IngressLoadBalancerStatus
IngressTLS: hosts=1:s[] secretName=2:s?
ServiceBackendPort: name=1:s? number=2:i?
`;

/** `discovery`: EndpointSlice. */
export const discoveryMessages: string = `
Endpoint: addresses=1:s[] conditions=2:EndpointConditions hostname=3:s targetRef=4:core.ObjectReference
  deprecatedTopology=5:s{} nodeName=6:s zone=7:s hints=8:EndpointHints
EndpointConditions: ready=1:b serving=2:b terminating=3:b
EndpointHints: forZones=1:ForZone[] forNodes=2:ForNode[]
EndpointPort: name=1:s protocol=2:s port=3:i appProtocol=4:s
EndpointSlice: metadata=1:meta.ObjectMeta addressType=4:s endpoints=2:Endpoint[] ports=3:EndpointPort[]
ForNode: name=1:s
ForZone: name=1:s
`;

/** `coordination`: Lease. */
export const coordinationMessages: string = `
Lease: metadata=1:meta.ObjectMeta spec=2:LeaseSpec
LeaseSpec: holderIdentity=1:s leaseDurationSeconds=2:i acquireTime=3:time renewTime=4:time leaseTransitions=5:i
  strategy=6:s preferredHolder=7:s
`;
