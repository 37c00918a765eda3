/** What admission adds to new pods, and when it refuses them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { serviceAccounts } from "#api/core/service-account.ts";
import { type Loose, type Reply, type Testbed, textOf, whileTimePasses, withServer } from "../testbed.ts";

const path = "/api/v1/namespaces/default/pods";
const mountPath = "/var/run/secrets/kubernetes.io/serviceaccount";

function makePod({ call }: Testbed, spec: object = {}): Promise<Reply> {
  const containers = [{ name: "a", image: "a" }];
  const metadata = { generateName: "p-" };
  return call("POST", path, { apiVersion: "v1", kind: "Pod", metadata, spec: { containers, ...spec } });
}

function account({ client }: Testbed, name: string, more: object = {}): Promise<unknown> {
  const metadata = { name, namespace: "default" };
  return client.create(serviceAccounts, { apiVersion: "v1", kind: "ServiceAccount", metadata, ...more });
}

function volumesOf(reply: Reply): string[] {
  assert.equal(reply.code, 201, reply.text);
  return ((reply.body["spec"]?.["volumes"] ?? []) as unknown as Loose[]).map((volume) => textOf(volume["name"]));
}

describe("serviceAccount", () => {
  it("refuses pods of an account that is not there, and waits a moment for a new Namespace's own", async () => {
    await withServer(
      async (bed) => {
        const refused = await makePod(bed, { serviceAccountName: "none" });
        assert.equal(refused.code, 403);
        assert.match(
          textOf(refused.body["message"]),
          /^pods "p-\w+" is forbidden: error looking up service account default\/none: serviceaccount "none" not found$/,
        );
        const waiting = makePod(bed);
        await bed.clock.advance(0);
        await account(bed, "default");
        assert.equal((await whileTimePasses(bed.clock, waiting, 100)).code, 201);
      },
      { admission: { requireServiceAccounts: true } },
    );
  });

  it("gives each container the token, unless pod or account say no or it has something else there", async () => {
    await withServer(
      async (bed) => {
        await account(bed, "default");
        await account(bed, "shy", { automountServiceAccountToken: false });
        const whole = await makePod(bed, { initContainers: [{ name: "i", image: "i" }] });
        const [name = ""] = volumesOf(whole);
        assert.match(name, /^kube-api-access-[a-z0-9]{5}$/);
        const mount = { name, readOnly: true, mountPath };
        assert.deepEqual(whole.body["spec"]?.["containers"]?.[0]?.["volumeMounts"], [mount]);
        assert.deepEqual(whole.body["spec"]?.["initContainers"]?.[0]?.["volumeMounts"], [mount]);
        assert.deepEqual(whole.body["spec"]?.["volumes"]?.[0]?.["projected"]?.["sources"], [
          { serviceAccountToken: { expirationSeconds: 3607, path: "token" } },
          { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
          {
            downwardAPI: {
              items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
            },
          },
        ]);
        assert.deepEqual(volumesOf(await makePod(bed, { automountServiceAccountToken: false })), []);
        assert.deepEqual(volumesOf(await makePod(bed, { serviceAccountName: "shy" })), []);
        const insists = { serviceAccountName: "shy", automountServiceAccountToken: true };
        assert.equal(volumesOf(await makePod(bed, insists)).length, 1);
        const own = {
          containers: [{ name: "a", image: "a", volumeMounts: [{ name: "own", mountPath }] }],
          volumes: [{ name: "own", emptyDir: {} }],
        };
        assert.deepEqual(volumesOf(await makePod(bed, own)), ["own"]);
      },
      { admission: { requireServiceAccounts: true, automountTokens: true } },
    );
  });
});

describe("defaultTolerations", () => {
  it("lets pods stay five minutes on a lost node, or as long as the operator or the pod says", async () => {
    const told = async (admission: object, spec: object): Promise<string[]> => {
      let found: string[] = [];
      await withServer(
        async (bed) => {
          const { body } = await makePod(bed, spec);
          const all = body["spec"]?.["tolerations"] as unknown as Loose[];
          found = all.map((one) => `${textOf(one["key"] ?? "*")} ${textOf(one["tolerationSeconds"] ?? "ever")}`);
        },
        { admission },
      );
      return found;
    };
    const [notReady, unreachable] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
    assert.deepEqual(await told({}, {}), [`${notReady} 300`, `${unreachable} 300`]);
    const seconds = { defaultNotReadyTolerationSeconds: 5, defaultUnreachableTolerationSeconds: 6 };
    assert.deepEqual(await told(seconds, {}), [`${notReady} 5`, `${unreachable} 6`]);
    const own = { tolerations: [{ key: notReady, operator: "Exists", effect: "NoExecute" }] };
    assert.deepEqual(await told({}, own), [`${notReady} ever`, `${unreachable} 300`]);
    assert.deepEqual(await told({}, { tolerations: [{ operator: "Exists" }] }), ["* ever"]);
  });
});
