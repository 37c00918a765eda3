import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { deletionConditions } from "./namespace.ts";

const now = "2026-01-01T00:00:00Z";
const later = "2026-01-01T00:00:01Z";

describe("deletionConditions()", () => {
  it("says what is left, what holds it, and then that nothing is", () => {
    const finalizers = new Map([["example.com/x", 2]]);
    const left = [
      { resource: "pods.", count: 2, finalizers },
      { resource: "deployments.apps", count: 1, finalizers: new Map<string, number>() },
    ];
    const first = deletionConditions([], left, now);
    assert.deepEqual(
      first.map(({ type, status, reason }) => `${type} ${status} ${reason}`),
      [
        "NamespaceDeletionDiscoveryFailure False ResourcesDiscovered",
        "NamespaceDeletionGroupVersionParsingFailure False ParsedGroupVersions",
        "NamespaceDeletionContentFailure False ContentDeleted",
        "NamespaceContentRemaining True SomeResourcesRemain",
        "NamespaceFinalizersRemaining True SomeFinalizersRemain",
      ],
    );
    assert.equal(
      first[3]?.message,
      "Some resources are remaining: deployments.apps has 1 resource instances, pods. has 2 resource instances",
    );
    assert.equal(
      first[4]?.message,
      "Some content in the namespace has finalizers remaining: example.com/x in 2 resource instances",
    );
    assert.equal(deletionConditions(first, left, later), first);
    const last = deletionConditions(first, [], later);
    assert.deepEqual(
      last.map(({ status, lastTransitionTime }) => `${status} ${lastTransitionTime}`),
      [`False ${now}`, `False ${now}`, `False ${now}`, `False ${later}`, `False ${later}`],
    );
  });
});
