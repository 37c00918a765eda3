/** NetworkPolicies as `wherry explain` reads them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod } from "#api/core/pod.ts";
import type { NetworkPolicy } from "#api/networking/network-policy.ts";
import type { EndpointState } from "./explanation.ts";
import { dnsRefusalOf, refusalOf, withPolicies } from "./policy.ts";
import type { Followed } from "./sidecar-path.ts";

type Spec = NonNullable<NetworkPolicy["spec"]>;

const pod = (namespace: string, name: string, podIP: string): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { namespace, name, uid: name, labels: { app: name } },
  spec: { containers: [{ name: "a", image: "a", ports: [{ name: "http", containerPort: 8080, protocol: "TCP" }] }] },
  status: { phase: "Running", podIP },
});
const web = pod("shop", "web", "10.244.1.2");
const friend = pod("shop", "friend", "10.244.1.3");
const stranger = pod("other", "stranger", "10.244.2.2");
const namespaces = ["shop", "other"].map((name) => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, labels: { team: name } },
}));
const policy = (name: string, spec: Spec): NetworkPolicy => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { namespace: "shop", name },
  spec,
});
const around = (...networkPolicies: NetworkPolicy[]): Parameters<typeof refusalOf>[2] => ({
  networkPolicies,
  namespaces,
  pods: [web, friend, stranger],
});
const toWeb = { address: "10.244.1.2", port: 8080 };
const ofWeb = { podSelector: { matchLabels: { app: "web" } } };
const friends = policy("friends", {
  ...ofWeb,
  policyTypes: ["Ingress"],
  ingress: [{ from: [{ podSelector: { matchLabels: { app: "friend" } } }], ports: [{ port: "http" }] }],
});

describe("refusalOf()", () => {
  it("refuses nothing where no policy selects a pod", () => {
    assert.equal(refusalOf(stranger, toWeb, around()), "");
    assert.equal(refusalOf(web, { address: "10.244.2.2", port: 80 }, around(friends)), "");
  });

  it("lets in whom one policy names, at its ports, and tells of the others", () => {
    assert.equal(refusalOf(friend, toWeb, around(friends)), "");
    const refused = "NetworkPolicy shop/friends (ingress of shop/web)";
    assert.equal(refusalOf(stranger, toWeb, around(friends)), refused);
    assert.equal(refusalOf(friend, { ...toWeb, port: 8081 }, around(friends)), refused);
    const none = policy("none", { ...ofWeb, policyTypes: ["Ingress"] });
    assert.equal(refusalOf(friend, toWeb, around(none, friends)), "");
    assert.match(refusalOf(stranger, toWeb, around(none, friends)), /shop\/none or shop\/friends/);
  });

  it("lets a pod reach itself", () => {
    assert.equal(refusalOf(web, toWeb, around(friends)), "");
  });

  it("takes a selector of namespaces with one of pods in them", () => {
    const from = (team: string, app: string): NetworkPolicy =>
      policy("from", {
        ...ofWeb,
        policyTypes: ["Ingress"],
        ingress: [{ from: [{ namespaceSelector: { matchLabels: { team } }, podSelector: { matchLabels: { app } } }] }],
      });
    assert.equal(refusalOf(stranger, toWeb, around(from("other", "stranger"))), "");
    assert.notEqual(refusalOf(stranger, toWeb, around(from("other", "friend"))), "");
    assert.notEqual(refusalOf(stranger, toWeb, around(from("shop", "stranger"))), "");
  });

  it("takes blocks less their exceptions, and ranges of ports, on the way out", () => {
    const out = policy("out", {
      podSelector: {},
      policyTypes: ["Egress"],
      egress: [
        { to: [{ ipBlock: { cidr: "192.0.2.0/24", except: ["192.0.2.128/25"] } }], ports: [{ port: 80, endPort: 90 }] },
      ],
    });
    const to = (address: string, port: number): string => refusalOf(friend, { address, port }, around(out));
    assert.equal(to("192.0.2.1", 85), "");
    assert.equal(to("192.0.2.200", 85), "NetworkPolicy shop/out (egress of shop/friend)");
    assert.notEqual(to("192.0.2.1", 91), "");
    assert.notEqual(to("198.51.100.1", 80), "");
    assert.equal(refusalOf(stranger, { address: "192.0.2.200", port: 1 }, around(out)), "");
  });
});

describe("dnsRefusalOf()", () => {
  const deny = (egress: Spec["egress"]): NetworkPolicy =>
    policy("deny", { podSelector: {}, policyTypes: ["Egress"], ...(egress === undefined ? {} : { egress }) });
  const system = { apiVersion: "v1", kind: "Namespace", metadata: { name: "kube-system", labels: { name: "system" } } };
  const refusal = (...policies: NetworkPolicy[]): string => {
    const objects = around(...policies);
    return dnsRefusalOf(web, { ...objects, namespaces: [...objects.namespaces, system] });
  };
  const dnsPods = {
    namespaceSelector: { matchLabels: { name: "system" } },
    podSelector: { matchLabels: { "k8s-app": "kube-dns" } },
  };

  it("names what keeps a pod from its resolver", () => {
    const refused = "NetworkPolicy shop/deny (egress of shop/web)";
    assert.equal(refusal(deny(undefined)), refused);
    assert.equal(refusal(deny([{ to: [{ podSelector: {} }] }])), refused);
    // Resolvers ask over UDP.
    assert.equal(refusal(deny([{ ports: [{ port: 53, protocol: "TCP" }] }])), refused);
    assert.equal(refusal(friends), "");
    assert.equal(dnsRefusalOf(stranger, around(deny(undefined))), "");
  });

  it("lets it through by port, by address, and as the pods that manifests name", () => {
    assert.equal(refusal(deny([{ ports: [{ port: 53, protocol: "UDP" }] }])), "");
    assert.equal(refusal(deny([{ to: [{ ipBlock: { cidr: "10.96.0.10/32" } }] }])), "");
    assert.equal(refusal(deny([{ to: [dnsPods], ports: [{ port: "dns", protocol: "UDP" }] }])), "");
    assert.equal(
      refusal(deny(undefined), policy("more", { podSelector: {}, policyTypes: ["Egress"], egress: [{}] })),
      "",
    );
  });
});

describe("withPolicies()", () => {
  const endpoint = (address: string): EndpointState => ({
    address,
    port: 8080,
    serving: true,
    pod: "",
    node: "",
    hasSidecar: false,
    refusedBy: "",
    isUnheard: false,
  });
  const followed = (...addresses: string[]): Followed => ({
    listener: undefined,
    route: undefined,
    shares: [{ cluster: "a", share: 1, endpoints: addresses.map(endpoint) }],
    outcome: { kind: "forwarded" },
  });
  const destination = { address: "10.96.0.5", port: 80 };

  it("names the endpoints that are refused, and fails when all are", () => {
    const options = { objects: around(friends), destination, isProxied: false };
    const half = withPolicies(followed("10.244.1.2", "10.244.1.3"), stranger, options);
    assert.deepEqual(half.outcome, { kind: "forwarded" });
    assert.deepEqual(
      half.shares[0]?.endpoints?.map(({ refusedBy }) => refusedBy),
      ["NetworkPolicy shop/friends (ingress of shop/web)", ""],
    );
    const none = withPolicies(followed("10.244.1.2"), stranger, options).outcome;
    assert.deepEqual(none, {
      kind: "fails",
      why: "the connection is dropped, NetworkPolicy shop/friends (ingress of shop/web) does not allow it",
    });
    const proxied = withPolicies(followed("10.244.1.2"), stranger, { ...options, isProxied: true }).outcome;
    assert.equal(proxied.kind === "answered" ? `${proxied.status} ${proxied.flag}` : "", "503 UF");
  });

  it("judges what other nodes translate by what each node sees", () => {
    const caller: Pod = { ...friend, spec: { ...friend.spec, nodeName: "node1" } };
    const refused = (at: string, endpointOn: string, ...policies: NetworkPolicy[]): string => {
      const way = {
        expected: { kind: "dnat", to: new Set(["10.244.1.2:8080"]), isMasqueraded: true } as const,
        nodeName: at,
        nodeIP: "100.64.0.9",
      };
      const options = { objects: around(...policies), destination: { address: "100.64.0.9", port: 30_080 }, way };
      const { shares } = followed("10.244.1.2");
      const on = shares.map((share) => ({ ...share, endpoints: [{ ...endpoint("10.244.1.2"), node: endpointOn }] }));
      const found = withPolicies({ ...followed(), shares: on }, caller, { ...options, isProxied: false });
      return found.shares[0]?.endpoints?.[0]?.refusedBy ?? "";
    };
    // Masqueraded is what goes on to another node: there the caller is the node that translated it.
    assert.equal(refused("node1", "node1", friends), "");
    assert.match(refused("node1", "node2", friends), /friends \(ingress of shop\/web\)/);
    const out = (egress: Spec["egress"]): NetworkPolicy =>
      policy("out", { podSelector: { matchLabels: { app: "friend" } }, policyTypes: ["Egress"], egress: egress ?? [] });
    const toPods = out([{ to: [ofWeb] }]);
    assert.equal(refused("node1", "node2", toPods), "");
    assert.match(refused("node2", "node2", toPods), /out \(egress of shop\/friend\)/);
    assert.equal(refused("node2", "node2", out([{ to: [{ ipBlock: { cidr: "100.64.0.0/16" } }] }])), "");
  });

  it("keeps a failure that has another reason", () => {
    const failed: Followed = { ...followed(), outcome: { kind: "fails", why: "no endpoint" } };
    const found = withPolicies(failed, stranger, { objects: around(friends), destination, isProxied: false });
    assert.deepEqual(found.outcome, failed.outcome);
  });
});
