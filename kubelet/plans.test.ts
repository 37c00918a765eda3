/** The shell scripts of a pod's network and a container's root, as literal lines. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import { interceptionRules, planPodNetwork, removePodNetwork } from "./pod-network.ts";
import { quote } from "./mount-script.ts";
import { planRootFileSystem } from "./root-file-system.ts";

const network = { podUid: "u1", podIP: "10.244.3.17", gatewayIP: "10.244.3.1", injected: false };

describe("planPodNetwork()", () => {
  it("makes a routed veth and no more for a pod without sidecar", () => {
    assert.deepEqual(planPodNetwork(network).split("\n"), [
      "ip link del pod3-17 2>/dev/null || true",
      "umount /run/netns/pod-u1 2>/dev/null || true",
      "rm -f /run/netns/pod-u1",
      "touch /run/netns/pod-u1",
      "unshare --net=/run/netns/pod-u1 true",
      "ip -batch - <<'BATCH'",
      "link add pod3-17 type veth peer name eth0 netns /run/netns/pod-u1",
      "addr add 10.244.3.1/32 dev pod3-17",
      "link set pod3-17 up",
      "route add 10.244.3.17/32 dev pod3-17",
      "BATCH",
      "nsenter --net=/run/netns/pod-u1 dash -e <<'INSIDE'",
      "echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start",
      "echo 0 0 >/proc/sys/net/ipv4/ping_group_range",
      "ip -batch - <<'BATCH'",
      "link set lo up",
      "addr add 10.244.3.17/32 dev eth0",
      "link set eth0 up",
      "route add 10.244.3.1 dev eth0 scope link",
      "route add default via 10.244.3.1 dev eth0 onlink",
      "BATCH",
      "INSIDE",
      "",
    ]);
  });

  it("adds the interception rules, and nothing else, for an injected pod", () => {
    const rules = `nft -f - <<'RULES'\n${interceptionRules()}\nRULES\n`;
    assert.equal(planPodNetwork({ ...network, injected: true }).replace(rules, ""), planPodNetwork(network));
  });
});

describe("removePodNetwork()", () => {
  it("is well with what is not there", () => {
    assert.ok(
      removePodNetwork(network)
        .split("\n")
        .every((line) => /\|\| true$|^rm -f /.test(line)),
    );
  });
});

describe("planRootFileSystem()", () => {
  const root = {
    hostname: "web-1",
    podIP: "10.244.1.2",
    namespace: "shop",
    nameserver: "10.96.0.10",
    nodeBinary: "/opt/node",
    imageDirectory: "/srv/web",
    mounts: [{ source: "/run/v/it's", target: "/data", readOnly: false, within: "/run/v" }],
    workingDir: "work",
  };
  const script = planRootFileSystem(root);

  for (const lines of [
    "'nameserver 10.96.0.10' 'search shop.svc.cluster.local svc.cluster.local cluster.local' 'options ndots:5'",
    "'fe00::2\tip6-allrouters' '10.244.1.2\tweb-1'",
    'mkdir app\nmount -c --rbind \'/srv/web\' "$PWD/app"\nread_only "$PWD/app"\nbind',
    "bind '/run/v/it'\\''s' '/data' rw '/run/v'\nhostname 'web-1'",
    "pivot_root . old\ncd /\numount -l /old\nrmdir /old\nmkdir -p '/work'\ncd '/work'",
  ]) {
    it(`holds ${JSON.stringify(lines.split("\n")[0])}`, () => assert.ok(script.includes(lines), script));
  }

  it("is a script that the shell can read", () => {
    execFileSync("dash", ["-n"], { input: script });
  });
});

describe("quote()", () => {
  for (const text of ["", "plain", "it's", "$(id)", "a\nb", '`x` \\ "y" \'']) {
    it(`keeps ${JSON.stringify(text)} as one word`, () => {
      assert.equal(execFileSync("dash", ["-c", `printf %s ${quote(text)}`], { encoding: "utf8" }), text);
    });
  }
});
