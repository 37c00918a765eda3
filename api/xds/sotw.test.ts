/** State-of-the-world ADS in the terms of delta ADS: names, versions, what is gone, what is rejected. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeMessage } from "./decode.ts";
import { deltaRequest, type DeltaRequest, type DeltaResponse } from "./discovery.ts";
import { encodeMessage } from "./encode.ts";
import { typeUrls } from "./envoy.ts";
import { StateOfTheWorld } from "./sotw.ts";

const { cluster, endpoint } = typeUrls;

/** What the control plane reads. */
function sent(stream: StateOfTheWorld, typeUrl: string, parts: Partial<DeltaRequest>): object {
  return decodeMessage("envoy.service.discovery.v3.DiscoveryRequest", stream.encode(deltaRequest(typeUrl, parts)));
}

interface Push {
  readonly version: string;
  readonly resources: readonly object[];
}

function received(stream: StateOfTheWorld, typeUrl: string, { version, resources }: Push): DeltaResponse {
  const bytes = encodeMessage("envoy.service.discovery.v3.DiscoveryResponse", {
    version_info: version,
    resources: resources.map((resource) => ({ "@type": typeUrl, ...resource })),
    type_url: typeUrl,
    nonce: `n${version}`,
  });
  return stream.decode(bytes);
}

const namesOf = ({ resources, removed }: DeltaResponse): readonly (readonly string[])[] => [
  resources.map(({ name }) => name),
  removed,
];

test("encode() asks for everything without a name, and acknowledges by version and nonce", () => {
  const stream = new StateOfTheWorld();
  const node = { id: "one", cluster: "two" };
  assert.deepEqual(sent(stream, cluster, { node, subscribe: ["*"] }), { node, type_url: cluster });
  const push = received(stream, cluster, { version: "1", resources: [{ name: "a" }, { name: "b" }] });
  assert.deepEqual(namesOf(push), [["a", "b"], []]);
  assert.deepEqual(sent(stream, cluster, { nonce: push.nonce }), {
    version_info: "1",
    type_url: cluster,
    response_nonce: "n1",
  });
});

test("decode() hands on what differs, and takes a cluster that is missing for gone", () => {
  const stream = new StateOfTheWorld();
  sent(stream, cluster, { subscribe: ["*"] });
  received(stream, cluster, { version: "1", resources: [{ name: "a" }, { name: "b" }, { name: "c" }] });
  sent(stream, cluster, { nonce: "n1" });
  const resources = [{ name: "a" }, { name: "b", connect_timeout: "2s" }, { name: "d" }];
  assert.deepEqual(namesOf(received(stream, cluster, { version: "2", resources })), [["b", "d"], ["c"]]);
});

test("a rejected push is answered with the version before, and its resources come again", () => {
  const stream = new StateOfTheWorld();
  sent(stream, cluster, { subscribe: ["*"] });
  received(stream, cluster, { version: "1", resources: [{ name: "a" }] });
  sent(stream, cluster, { nonce: "n1" });
  received(stream, cluster, { version: "2", resources: [{ name: "b" }] });
  const error = { code: 3, message: "Cannot read b" };
  assert.deepEqual(sent(stream, cluster, { nonce: "n2", error }), {
    version_info: "1",
    type_url: cluster,
    response_nonce: "n2",
    error_detail: error,
  });
  assert.deepEqual(namesOf(received(stream, cluster, { version: "3", resources: [{ name: "b" }] })), [["b"], ["a"]]);
});

test("endpoints are asked for by all their names, and none is gone for not being in a push", () => {
  const stream = new StateOfTheWorld();
  sent(stream, endpoint, { subscribe: ["x", "y"] });
  const resources = [{ cluster_name: "x" }, { cluster_name: "y" }];
  assert.deepEqual(namesOf(received(stream, endpoint, { version: "1", resources })), [["x", "y"], []]);
  sent(stream, endpoint, { nonce: "n1" });
  const request = sent(stream, endpoint, { subscribe: ["z"], unsubscribe: ["x"] });
  assert.deepEqual(request, {
    version_info: "1",
    resource_names: ["y", "z"],
    type_url: endpoint,
    response_nonce: "n1",
  });
  const push = received(stream, endpoint, { version: "2", resources: [{ cluster_name: "z" }] });
  assert.deepEqual(namesOf(push), [["z"], []]);
  sent(stream, endpoint, { nonce: "n2" });
  sent(stream, endpoint, { subscribe: ["x"] });
  // Asked for anew, it counts as new.
  assert.deepEqual(namesOf(received(stream, endpoint, { version: "3", resources })), [["x"], []]);
});

test("a stream after another one hands on what differs from what the client holds, and finds what is gone", () => {
  const before = new StateOfTheWorld();
  sent(before, cluster, { subscribe: ["*"] });
  const push = received(before, cluster, { version: "1", resources: [{ name: "a" }, { name: "b" }] });
  const initialVersions = Object.fromEntries(push.resources.map(({ name, version }) => [name, version]));
  const stream = new StateOfTheWorld();
  assert.deepEqual(sent(stream, cluster, { subscribe: ["*"], initialVersions }), { type_url: cluster });
  const resources = [{ name: "b" }, { name: "c" }];
  assert.deepEqual(namesOf(received(stream, cluster, { version: "9", resources })), [["c"], ["a"]]);
});

test("decode() reads resources in a wrapper by the name on it, and refuses bytes that are none", () => {
  const stream = new StateOfTheWorld();
  const wrapper = "type.googleapis.com/envoy.service.discovery.v3.Resource";
  const resource = { "@type": cluster, name: "inner" };
  const bytes = encodeMessage("envoy.service.discovery.v3.DiscoveryResponse", {
    resources: [{ "@type": wrapper, name: "outer", resource }],
    type_url: cluster,
  });
  const [only] = stream.decode(bytes).resources;
  assert.deepEqual([only?.name, only?.typeUrl], ["outer", cluster]);
  assert.throws(() => stream.decode(Buffer.from([0x0a, 0xff])), { code: "bad_bytes" });
});
