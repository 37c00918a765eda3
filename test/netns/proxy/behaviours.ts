/**
 * kube-proxy's behaviours with real packets, in one family and one protocol. Run by behaviours-*.test.ts inside
 * namespaces of its own, never directly.
 *
 *   node behaviours.ts IPv4 TCP
 *
 * Each test begins with the numbers that its behaviours have in README.md.
 */
import { after } from "node:test";
import { changes } from "./behaviours/changes.ts";
import { clusterIP } from "./behaviours/cluster-ip.ts";
import { fromOutside } from "./behaviours/outside.ts";
import { policies } from "./behaviours/policies.ts";
import { sessions } from "./behaviours/sessions.ts";
import { Stage } from "./behaviours/stage.ts";

const [family, protocol] = process.argv.slice(2);
const stage = await Stage.create({
  family: family === "IPv6" ? "IPv6" : "IPv4",
  protocol: protocol === "UDP" ? "UDP" : "TCP",
});
after(() => stage.close());
for (const behaviours of [clusterIP, fromOutside, policies, sessions, changes]) behaviours(stage);
