/** Flags of `wherry sidecar`: what is refused, before anything is read. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Command } from "commander";
import { sidecarCommands } from "./sidecar-commands.ts";

test("--log-level has the levels of /logging, in its help and where it refuses another", async () => {
  const program = new Command().exitOverride();
  sidecarCommands(program);
  const [sidecar] = program.commands;
  const levels = "trace, debug, info, warning, error, critical or off";
  assert.ok(sidecar!.helpInformation().replaceAll(/\s+/g, " ").includes(`--log-level <level> ${levels} (default`));
  await assert.rejects(program.parseAsync(["node", "wherry", "sidecar", "-l", "bogus"]), {
    message: `Cannot use --log-level bogus: wanted ${levels}`,
  });
});
