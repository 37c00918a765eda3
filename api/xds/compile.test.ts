/** The compiled table is that of the installed .proto files, and protobufjs reads what our encoder writes and the reverse. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { plainPolicies } from "../wire/service.ts";
import { compile, loadProtos } from "./compile.ts";
import { decodeMessage } from "./decode.ts";
import { encodeMessage } from "./encode.ts";

test("compile() gives the table in build/", () => {
  const built = readFileSync(new URL("../../build/xds.json", import.meta.url), "utf8");
  assert.equal(`${JSON.stringify(compile())}\n`, built, "build/xds.json is current (run `npm run prepare`)");
});

test("encodeMessage() and decodeMessage() agree with protobufjs", () => {
  const root = loadProtos();
  const forms: readonly [type: string, ours: object, theirs: object][] = [
    [
      "envoy.config.endpoint.v3.ClusterLoadAssignment",
      {
        cluster_name: "a",
        endpoints: [
          {
            locality: { zone: "z" },
            load_balancing_weight: 3,
            lb_endpoints: [
              {
                endpoint: { address: { socket_address: { address: "10.0.0.1", port_value: 80 } } },
                health_status: "DRAINING",
              },
            ],
          },
        ],
      },
      {
        cluster_name: "a",
        endpoints: [
          {
            locality: { zone: "z" },
            load_balancing_weight: { value: 3 },
            lb_endpoints: [
              { endpoint: { address: { socket_address: { address: "10.0.0.1", port_value: 80 } } }, health_status: 3 },
            ],
          },
        ],
      },
    ],
    [
      "envoy.config.route.v3.RetryPolicy",
      { retry_on: "reset", num_retries: 0, per_try_timeout: "-0.500s", retriable_status_codes: [1, 4294967295] },
      {
        retry_on: "reset",
        num_retries: {},
        per_try_timeout: { nanos: -500_000_000 },
        retriable_status_codes: [1, 4294967295],
      },
    ],
    ["google.rpc.Status", { code: -7, message: "naïve" }, { code: -7, message: "naïve" }],
    [
      "wherry.v1.Service",
      {
        namespace: "n",
        name: "s",
        clusterIPs: ["10.96.0.1"],
        headless: false,
        externalName: "",
        ports: [],
        endpoints: [
          {
            address: "10.0.0.1",
            ports: { http: 8080 },
            ready: true,
            serving: false,
            terminating: false,
            hostname: "",
            nodeName: "",
            zone: "",
            podName: "",
            hintZones: ["a"],
            hintNodes: [],
          },
        ],
        publishNotReadyAddresses: true,
        ...plainPolicies,
      },
      {
        namespace: "n",
        name: "s",
        clusterIPs: ["10.96.0.1"],
        endpoints: [{ address: "10.0.0.1", ports: { http: 8080 }, ready: true, hintZones: ["a"] }],
        publishNotReadyAddresses: true,
        type: "ClusterIP",
        internalTrafficPolicy: "Cluster",
        externalTrafficPolicy: "Cluster",
      },
    ],
  ];
  for (const [name, ours, theirs] of forms) {
    const type = root.lookupType(name);
    const bytes = encodeMessage(name, ours);
    assert.deepEqual(type.toObject(type.decode(bytes)), theirs, `${name}: protobufjs reads our bytes`);
    assert.deepEqual(decodeMessage(name, type.encode(theirs).finish()), ours, `${name}: we read its bytes`);
  }
});
