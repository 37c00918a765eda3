/** What takes time: 150 series of random Services against the packet-walk model, and a load while endpoints roll. */
import { describe, test } from "node:test";
import { showProgram } from "./inside.ts";

// Each waits for what is dropped, so they run side by side.
describe("packets go where the model sends them", { concurrency: 6 }, () => {
  for (const seed of [1, 2, 3, 4])
    test(`25 series from seed ${seed}`, (t) => showProgram(t, `model.ts 25 ${seed}`).then(() => undefined));
  for (const seed of [5, 6])
    test(`25 series of plain Services from seed ${seed}`, (t) =>
      showProgram(t, `model.ts 25 ${seed} 0`).then(() => undefined));
});

// Alone: it counts what it does in a few seconds.
test("nothing is lost while endpoints roll", (t) => showProgram(t, "rolling.ts").then(() => undefined));
test("nothing is lost while endpoints of a plain Service roll", (t) =>
  showProgram(t, "rolling.ts 3 0").then(() => undefined));
