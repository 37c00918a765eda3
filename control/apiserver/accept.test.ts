import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseDiscovery, chooseForm } from "./accept.ts";

const kubectlTable =
  "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
const kubectlDiscovery = [
  "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
  "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
  "application/json",
];

test("chooseForm() takes the first range that can be given", () => {
  assert.equal(chooseForm(kubectlTable), "table/v1");
  assert.equal(chooseForm(kubectlTable.slice(kubectlTable.indexOf(",") + 1)), "table/v1beta1");
  assert.equal(chooseForm("application/vnd.kubernetes.protobuf,application/json"), "plain");
  assert.equal(chooseForm("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"), "partial");
  assert.equal(chooseForm("application/json; as=Table; v=v2; g=meta.k8s.io, */*"), "plain");
  assert.equal(chooseForm(""), "plain");
  assert.equal(chooseForm("application/yaml, text/plain"), undefined);
});

test("chooseDiscovery() falls back to the legacy documents", () => {
  assert.equal(chooseDiscovery(kubectlDiscovery.join(",")), "v2");
  assert.equal(chooseDiscovery(kubectlDiscovery.slice(1).join(",")), "v2beta1");
  assert.equal(chooseDiscovery("application/json"), undefined);
  assert.equal(
    chooseDiscovery("application/json,application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
    undefined,
  );
});
