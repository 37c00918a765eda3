/** The zone's index: deltas against a fresh start. */
import assert from "node:assert/strict";
import test from "node:test";
import * as fc from "fast-check";
import type { ServiceResource } from "#api/wire/service.ts";
import { toBytes, toReverseName, toReverseZones } from "./address.ts";
import { type Answer, statusAnswer } from "./answer.ts";
import { endpoint, named, service } from "./fixture.ts";
import { keyOfOwn } from "./wire/name.ts";
import { Zone } from "./zone.ts";

const anyService: fc.Arbitrary<ServiceResource> = fc
  .record({
    namespace: fc.constantFrom("a", "b"),
    name: fc.constantFrom("x", "y", "z"),
    headless: fc.boolean(),
    externalName: fc.constantFrom("", "", "x.a.svc.cluster.local"),
    endpoints: fc.uniqueArray(fc.nat(4), { maxLength: 4 }).map((all) => all.map((n) => endpoint(`10.244.0.${n}`))),
    ip: fc.nat(3),
  })
  .map(({ ip, ...given }) => service(given.name, { ...given, clusterIPs: given.headless ? [] : [`10.96.0.${ip}`] }));

const queries = ["a", "b"].flatMap((namespace) => [
  `${namespace}.svc.cluster.local`,
  ...["x", "y", "z"].flatMap((name) => {
    const text = `${name}.${namespace}.svc.cluster.local`;
    return [text, `_http._tcp.${text}`, ...[0, 1, 2, 3, 4].map((n) => `10-244-0-${n}.${text}`)];
  }),
]);
const reverse = [0, 1, 2, 3, 4].flatMap((n) => [`${n}.0.244.10.in-addr.arpa`, `${n}.0.96.10.in-addr.arpa`]);

function answer(zone: Zone, text: string, type: number): Answer {
  const name = keyOfOwn(text);
  const found = zone.find(name, type, zone.zoneOf(name) ?? name);
  assert.equal(found.kind, "answer");
  return found.kind === "answer" ? found.answer : statusAnswer(-1);
}

/** Everything the zone says, but for the serial. */
function dump(zone: Zone): readonly string[] {
  return [...queries, ...reverse].flatMap((text) =>
    [1, 5, 12, 33].map((type) => {
      const { rcode, sections } = answer(zone, text, type);
      return `${text} ${type} ${rcode} ${sections.counts.join()} ${sections.counts[0] > 0 ? sections.bytes.toString("hex") : ""}`;
    }),
  );
}

test("Zone.apply() in steps gives the same answers as from scratch", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(anyService, fc.boolean()), { maxLength: 12 }), (steps) => {
      const options = { reverseZones: [keyOfOwn("10.in-addr.arpa")] };
      const stepwise = new Zone(options);
      const final = new Map<string, ServiceResource>();
      for (const [resource, isRemoval] of steps) {
        const key = `${resource.namespace}/${resource.name}`;
        if (isRemoval) final.delete(key);
        else final.set(key, resource);
        stepwise.apply(isRemoval ? [] : named([resource]), isRemoval ? [key] : [], 0);
        answer(stepwise, "x.a.svc.cluster.local", 1);
      }
      const scratch = new Zone(options);
      scratch.apply(named([...final.values()]), [], 0);
      assert.deepEqual(dump(stepwise), dump(scratch));
    }),
    { numRuns: 200 },
  );
});

test("Zone.apply() ignores Services whose names are no labels", () => {
  const zone = new Zone();
  zone.apply(named([service("a.b", { clusterIPs: ["10.96.0.1"] }), service("x".repeat(70))]), [], 0);
  assert.equal(answer(zone, "a.b.testns.svc.cluster.local", 1).rcode, 3);
});

test("toBytes() and toReverseName() know both families", () => {
  assert.deepEqual([...(toBytes("::ffff:1.2.3.4") ?? [])], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4]);
  assert.equal(toBytes("010.0.0.1"), undefined);
  assert.equal(toBytes("fe80::1%eth0"), undefined);
  assert.equal(toReverseName(Uint8Array.of(10, 96, 0, 1)), "1.0.96.10.in-addr.arpa");
  assert.equal(toReverseName(toBytes("::1") ?? new Uint8Array()).startsWith("1.0.0.0."), true);
  assert.deepEqual(toReverseZones("10.96.0.0/16"), ["96.10.in-addr.arpa"]);
  assert.deepEqual(toReverseZones("10.96.0.0/15"), ["96.10.in-addr.arpa", "97.10.in-addr.arpa"]);
});
