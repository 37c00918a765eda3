/** Slices by Service, as they come and go. */
import assert from "node:assert/strict";
import test from "node:test";
import { endpoint } from "../fixture.ts";
import { Slices } from "./slices.ts";

test("Slices keeps nothing of Services whose slices are gone", () => {
  const slices = new Slices();
  for (let index = 0; index < 1000; index++) {
    const service = `jobs/job-${index}`;
    slices.set(`${service}-a`, { service, endpoints: [endpoint("10.244.0.2")] });
    slices.set(`${service}-b`, { service, endpoints: [endpoint("10.244.0.1"), endpoint("10.244.0.2")] });
    assert.deepEqual(
      slices.endpointsOf(service).map(({ address }) => address),
      ["10.244.0.1", "10.244.0.2"],
    );
    assert.equal(slices.delete(`${service}-a`), service);
    assert.equal(slices.delete(`${service}-b`), service);
    assert.equal(slices.delete(`${service}-b`), undefined);
    assert.deepEqual(slices.endpointsOf(service), []);
  }
  assert.equal(slices.serviceCount, 0);
});

test("Slices moves a slice that changes its Service", () => {
  const slices = new Slices();
  const endpoints = [endpoint("10.244.0.1")];
  assert.equal(slices.set("default/a", { service: "default/one", endpoints }), undefined);
  assert.equal(slices.set("default/a", { service: "default/two", endpoints }), "default/one");
  assert.deepEqual(slices.endpointsOf("default/one"), []);
  assert.equal(slices.endpointsOf("default/two").length, 1);
  assert.equal(slices.serviceCount, 1);
});
