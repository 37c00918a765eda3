/** Tokens of ServiceAccounts, and what their holders may do. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { nodes } from "#api/core/node.ts";
import { pods } from "#api/core/pod.ts";
import { serviceAccounts } from "#api/core/service-account.ts";
import { createTokenSigner, makeTokenKey } from "../identity/tokens.ts";
import type { Authenticator } from "./authn.ts";
import { type Reply, type Testbed, textOf, withServer } from "./testbed.ts";

const tokens = createTokenSigner(makeTokenKey());
const accounts = "/api/v1/namespaces/default/serviceaccounts";

/** Nodes say their name in the Authorization header. */
const nodeNames: Authenticator = ({ authorization = "" }) => {
  const name = /^Node (.+)$/.exec(authorization)?.[1];
  return name === undefined ? undefined : { name: `system:node:${name}`, groups: ["system:nodes"] };
};

interface World extends Testbed {
  /** A request with another Authorization header. */
  readonly as: (authorization: string, method: string, path: string, body?: unknown) => Promise<Reply>;
  readonly request: (spec: object, name?: string) => Promise<Reply>;
}

async function withTokens(body: (world: World) => Promise<void>): Promise<void> {
  await withServer(
    async (bed) => {
      const { client, call } = bed;
      const account = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "app", namespace: "default" } };
      await client.create(serviceAccounts, account);
      for (const name of ["node1", "node2"])
        await client.create(nodes, { apiVersion: "v1", kind: "Node", metadata: { name } });
      const spec = { containers: [{ name: "a", image: "a", envFrom: [{ secretRef: { name: "own" } }] }] };
      const key = { name: "web", namespace: "default" };
      const pod = { ...spec, serviceAccountName: "app", nodeName: "node1" };
      await client.create(pods, { apiVersion: "v1", kind: "Pod", metadata: key, spec: pod });
      await body({
        ...bed,
        as: (authorization, method, path, sent) => call(method, path, sent, { authorization }),
        request: (wanted, name = "app") =>
          call("POST", `${accounts}/${name}/token`, {
            apiVersion: "authentication.k8s.io/v1",
            kind: "TokenRequest",
            spec: wanted,
          }),
      });
    },
    { tokens, authenticators: [nodeNames] },
  );
}

function tokenOf(reply: Reply): string {
  assert.equal(reply.code, 201, reply.text);
  return textOf(reply.body["status"]?.["token"]);
}

function refused(reply: Reply, code: number, message: string): void {
  assert.equal(reply.code, code, reply.text);
  assert.equal(textOf(reply.body["message"]), message);
}

const bound = { kind: "Pod", apiVersion: "v1", name: "web" };

describe("createToken()", () => {
  it("makes a token that says who, for whom and until when, and is known again", async () => {
    await withTokens(async ({ request, as, clock }) => {
      const claims = tokens.verify(tokenOf(await request({ boundObjectRef: bound, expirationSeconds: 600 })));
      const { exp = 0, iat = 0, sub, aud, iss, "kubernetes.io": own } = claims as Record<string, number | undefined>;
      assert.equal(exp - iat, 600);
      assert.equal(iat, clock.nowMs() / 1000);
      assert.deepEqual(
        [sub, iss],
        ["system:serviceaccount:default:app", "https://kubernetes.default.svc.cluster.local"],
      );
      assert.deepEqual(aud, ["https://kubernetes.default.svc.cluster.local"]);
      assert.deepEqual(Object.keys(own as unknown as object).sort(), ["namespace", "node", "pod", "serviceaccount"]);

      const token = tokenOf(await request({}));
      const me = await as(`Bearer ${token}`, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {
        apiVersion: "authentication.k8s.io/v1",
        kind: "SelfSubjectReview",
      });
      const user = me.body["status"]?.["userInfo"];
      assert.equal(user?.["username"], "system:serviceaccount:default:app");
      assert.deepEqual(user?.["groups"], [
        "system:serviceaccounts",
        "system:serviceaccounts:default",
        "system:authenticated",
      ]);
    });
  });

  it("refuses what cannot be bound, and times that are too short", async () => {
    await withTokens(async ({ request }) => {
      refused(
        await request({ expirationSeconds: 10 }),
        422,
        'TokenRequest.authentication.k8s.io "app" is invalid: spec.expirationSeconds: Invalid value: 10: may not specify a duration less than 10 minutes',
      );
      refused(await request({}, "none"), 404, 'serviceaccounts "none" not found');
      refused(await request({ boundObjectRef: { ...bound, name: "none" } }), 404, 'pods "none" not found');
      refused(
        await request({ boundObjectRef: { ...bound, kind: "ConfigMap" } }),
        400,
        "cannot bind token to object of type /v1, Kind=ConfigMap",
      );
      const other = await request({ boundObjectRef: { ...bound, uid: "x" } });
      assert.equal(other.code, 409);
      assert.equal((await request({ audiences: "x" })).code, 400);
    });
  });
});

describe("serviceAccountTokens()", () => {
  const pod = "/api/v1/namespaces/default/pods/web";

  it("knows a token until its time is over, its pod is gone, or its account is another", async () => {
    await withTokens(async ({ request, as, client, clock }) => {
      const brief = tokenOf(await request({ expirationSeconds: 600 }));
      const ofPod = tokenOf(await request({ boundObjectRef: bound }));
      const ofVolume = tokenOf(await request({ boundObjectRef: bound, expirationSeconds: 3607 }));
      const foreign = tokenOf(await request({ audiences: ["vault"] }));
      const codes = async (): Promise<number[]> => {
        const replies: number[] = [];
        for (const token of [brief, ofPod, ofVolume, foreign])
          replies.push((await as(`Bearer ${token}`, "GET", "/api/v1/namespaces")).code);
        return replies;
      };
      assert.deepEqual(await codes(), [200, 200, 200, 401]);
      await clock.advance(600_000);
      assert.deepEqual(await codes(), [401, 200, 200, 401]);
      await clock.advance(3_000_000);
      // What a pod's own volume holds lives on, for programs that never read it again.
      assert.deepEqual(await codes(), [401, 401, 200, 401]);
      assert.equal((await as(`Bearer ${ofVolume}`, "GET", pod)).code, 200);
      await client.delete(pods, { namespace: "default", name: "web" }, { gracePeriodSeconds: 0 });
      assert.deepEqual(await codes(), [401, 401, 401, 401]);
      refused(await as("Bearer x.y.z", "GET", "/api"), 401, "Unauthorized");
    });
  });

  it("dies with its ServiceAccount", async () => {
    await withTokens(async ({ request, as, client }) => {
      const token = tokenOf(await request({}));
      await client.delete(serviceAccounts, { namespace: "default", name: "app" });
      assert.equal((await as(`Bearer ${token}`, "GET", "/api")).code, 401);
    });
  });

  it("are reviewed for whoever may ask", async () => {
    await withTokens(async ({ request, call }) => {
      const review = async (token: string, audiences: readonly string[]): Promise<Reply["body"]["status"]> => {
        const sent = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token, audiences } };
        return (await call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", sent)).body["status"];
      };
      const foreign = tokenOf(await request({ audiences: ["vault"] }));
      assert.deepEqual((await review(foreign, ["vault", "other"]))?.["audiences"], ["vault"]);
      assert.deepEqual(await review(foreign, []), { user: {}, error: "invalid bearer token" });
      const openID = (await call("GET", "/.well-known/openid-configuration")).body;
      assert.equal(textOf(openID["issuer"]), "https://kubernetes.default.svc.cluster.local");
      assert.deepEqual(JSON.parse((await call("GET", "/openid/v1/jwks")).text), tokens.keys);
    });
  });
});

describe("authorize()", () => {
  it("lets a ServiceAccount read all but Secrets, and write nothing", async () => {
    await withTokens(async ({ request, as }) => {
      const token = `Bearer ${tokenOf(await request({}))}`;
      const user = 'User "system:serviceaccount:default:app" cannot';
      assert.equal((await as(token, "GET", "/apis/apps/v1/deployments")).code, 200);
      assert.equal((await as(token, "GET", "/openapi/v3")).code, 200);
      assert.equal((await as(token, "GET", "/metrics")).code, 200);
      refused(
        await as(token, "GET", "/api/v1/namespaces/default/secrets"),
        403,
        `secrets is forbidden: ${user} list resource "secrets" in API group "" in the namespace "default"`,
      );
      refused(
        await as(token, "DELETE", "/apis/apps/v1/namespaces/default/deployments/web"),
        403,
        `deployments.apps "web" is forbidden: ${user} delete resource "deployments" in API group "apps" in the namespace "default"`,
      );
      refused(
        await as(token, "POST", `${accounts}/app/token`, {}),
        403,
        `serviceaccounts "app" is forbidden: ${user} create resource "serviceaccounts/token" in API group "" in the namespace "default"`,
      );
      refused(
        await as(token, "PATCH", "/api/v1/nodes/node1", {}),
        403,
        `nodes "node1" is forbidden: ${user} patch resource "nodes" in API group "" at the cluster scope`,
      );
      refused(await as(token, "GET", "/debug"), 403, `forbidden: ${user} get path "/debug"`);
    });
  });

  it("lets a node do what its kubelet needs for its own pods", async () => {
    await withTokens(async ({ as, call }) => {
      const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "own" } };
      assert.equal((await call("POST", "/api/v1/namespaces/default/secrets", secret)).code, 201);
      const ns = "/api/v1/namespaces/default";
      const lease = (name: string): object => ({
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name },
        spec: {},
      });
      const leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
      const token = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { boundObjectRef: bound } };
      const free = { ...token, spec: {} };
      const rows: readonly (readonly [node: string, method: string, path: string, body: unknown, code: number])[] = [
        ["node1", "GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode1", undefined, 200],
        ["node2", "GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode1", undefined, 403],
        ["node1", "GET", "/api/v1/pods", undefined, 403],
        ["node1", "GET", `${ns}/pods/web`, undefined, 200],
        ["node2", "GET", `${ns}/pods/web`, undefined, 403],
        ["node1", "PATCH", `${ns}/pods/web/status`, { status: { phase: "Running" } }, 200],
        ["node2", "PATCH", `${ns}/pods/web/status`, { status: { phase: "Running" } }, 403],
        ["node1", "PATCH", `${ns}/pods/web`, {}, 403],
        ["node1", "GET", `${ns}/secrets/own`, undefined, 200],
        ["node2", "GET", `${ns}/secrets/own`, undefined, 403],
        ["node1", "GET", `${ns}/secrets`, undefined, 403],
        ["node1", "GET", `${ns}/configmaps/own`, undefined, 403],
        ["node1", "POST", `${ns}/serviceaccounts/app/token`, token, 201],
        ["node2", "POST", `${ns}/serviceaccounts/app/token`, token, 403],
        ["node1", "POST", `${ns}/serviceaccounts/app/token`, free, 403],
        ["node1", "POST", leases, lease("node1"), 201],
        ["node1", "POST", leases, lease("node2"), 403],
        ["node1", "PATCH", `${leases}/node1`, { spec: { holderIdentity: "node1" } }, 200],
        ["node2", "PATCH", `${leases}/node1`, {}, 403],
        ["node1", "PATCH", "/api/v1/nodes/node1/status", {}, 200],
        ["node2", "PATCH", "/api/v1/nodes/node1/status", {}, 403],
        ["node3", "POST", "/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata: { name: "node4" } }, 403],
        ["node3", "POST", "/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata: { name: "node3" } }, 201],
        ["node1", "GET", "/api/v1/services", undefined, 200],
        ["node1", "DELETE", "/api/v1/services", undefined, 403],
        ["node1", "DELETE", `${ns}/pods/web`, undefined, 200],
      ];
      for (const [node, method, path, body, code] of rows) {
        const reply = await as(`Node ${node}`, method, path, body);
        assert.equal(reply.code, code, `${node} ${method} ${path}: ${reply.text}`);
      }
    });
  });

  it("lets a node not lift its own taints or cordon, nor write the labels that are for people", async () => {
    await withTokens(async ({ as, client }) => {
      const taints = [{ key: "only", value: "mine", effect: "NoSchedule" as const }];
      await client.patch(nodes, { name: "node1" }, { spec: { taints, unschedulable: true } });
      const patch = (body: object): Promise<Reply> => as("Node node1", "PATCH", "/api/v1/nodes/node1", body);
      for (const [body, what] of [
        [{ spec: { taints: null } }, "taints"],
        [{ spec: { unschedulable: false } }, "spec.unschedulable"],
        [
          { metadata: { labels: { "node-restriction.kubernetes.io/x": "y" } } },
          "labels: node-restriction.kubernetes.io/x",
        ],
      ] as const) {
        const { code, body: said } = await patch(body);
        assert.equal(code, 403, what);
        assert.ok(JSON.stringify(said).includes(`is not allowed to modify ${what}`), JSON.stringify(said));
      }
      assert.equal((await patch({ metadata: { labels: { zone: "a" } } })).code, 200);
    });
  });

  it("answers access reviews as it decides, also for another user", async () => {
    await withTokens(async ({ call, as }) => {
      const review = async (kind: string, spec: object, headers = {}): Promise<unknown> => {
        const path = `/apis/authorization.k8s.io/v1/${kind.toLowerCase()}s`;
        const reply = await call("POST", path, { apiVersion: "authorization.k8s.io/v1", kind, spec }, headers);
        return reply.body["status"]?.["allowed"] ?? reply.code;
      };
      const may = (verb: string, resource: string): object => ({
        resourceAttributes: { verb, resource, group: "", namespace: "default" },
      });
      const account = { "impersonate-user": "system:serviceaccount:default:app" };
      assert.equal(await review("SelfSubjectAccessReview", may("create", "pods")), true);
      assert.equal(await review("SelfSubjectAccessReview", may("create", "pods"), account), false);
      assert.equal(await review("SelfSubjectAccessReview", may("list", "pods"), account), true);
      assert.equal(await review("SelfSubjectAccessReview", may("*", "*"), account), false);
      const subject = { user: "system:node:node1", groups: ["system:nodes"] };
      assert.equal(await review("SubjectAccessReview", { ...subject, ...may("list", "services") }), true);
      assert.equal(await review("SubjectAccessReview", { ...subject, ...may("delete", "services") }), false);
      assert.equal(await review("SubjectAccessReview", may("get", "pods")), 400);
      const asNode = await call("GET", "/api", undefined, { authorization: "Node node1", "impersonate-user": "x" });
      assert.equal(asNode.code, 403);
      assert.equal((await call("GET", "/api", undefined, { "impersonate-uid": "1" })).code, 400);
      assert.equal((await as("Nobody", "GET", "/api")).code, 401);
    });
  });
});
