/** Image names against patterns, as Docker reads names. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { KubeletError } from "./errors.ts";
import { resolveImage } from "./images.ts";

const rows: readonly [image: string, pattern: string, found: boolean][] = [
  ["nginx", "nginx", true],
  ["nginx", "docker.io/library/nginx", true],
  ["docker.io/nginx", "nginx", true],
  ["docker.io/library/nginx:1.27", "nginx", true],
  ["istio/details:1.20.3", "docker.io/istio/details", true],
  ["istio/details", "details", false],
  ["nginx:1.27", "nginx:1.27", true],
  ["nginx:1.27", "nginx:1.26", false],
  ["nginx:1.27@sha256:abc", "nginx:1.27", true],
  ["nginx@sha256:abc", "nginx", true],
  ["localhost/app", "localhost/app", true],
  ["localhost:5000/app:v1", "localhost:5000/app", true],
  ["registry.example.org:5000/team/app", "registry.example.org:5000/team/app", true],
  ["registry.example.org/app", "app", false],
  ["istio/examples-bookinfo-reviews-v3:1.20", "docker.io/istio/examples-bookinfo-*", true],
  ["quay.io/anything", "*", true],
  ["quay.io/team/app:v2", "*/app", true],
  ["nginx", "nginx*x", false],
];

describe("resolveImage()", () => {
  for (const [image, pattern, found] of rows) {
    it(`${found ? "takes" : "does not take"} ${pattern} for ${image}`, () => {
      const entry = { image: pattern, command: ["run"] };
      if (found) assert.equal(resolveImage(image, [entry]), entry);
      else assert.throws(() => resolveImage(image, [entry]), KubeletError);
    });
  }

  it("takes the first entry that matches", () => {
    const entries = ["a*", "ab"].map((image) => ({ image, command: [image] }));
    assert.deepEqual(resolveImage("ab", entries).command, ["a*"]);
  });

  it("knows the pause image without a map", () => {
    assert.deepEqual(resolveImage("wherry.dev/pause", []).command, ["sleep", "infinity"]);
  });

  it("says what to do about an image that no entry stands for", () => {
    assert.throws(() => resolveImage("example.org/none:1", []), {
      code: "ErrImagePull",
      message:
        'Cannot resolve image "example.org/none:1": no entry in the image map (add one to ~/.config/wherry/images.yaml or pass --images, and start the cluster again)',
    });
  });

  it("matches globs as the equal regular expression does", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "*"), maxLength: 8 });
    const text = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 10 });
    fc.assert(
      fc.property(letters, text, (pattern, name) => {
        const wanted = new RegExp(`^r.io/${pattern.replaceAll("*", ".*")}$`).test(`r.io/${name}`);
        const entry = { image: `r.io/${pattern}`, command: ["run"] };
        const found = ((): boolean => {
          try {
            return resolveImage(`r.io/${name}`, [entry]) === entry;
          } catch {
            return false;
          }
        })();
        assert.equal(found, wanted);
      }),
    );
  });
});
