/**
 * Holds the logs of the cluster's own processes to their bound. Containers' logs have times beside them and are the
 * kubelet's (logs/log-files.ts): they are passed over here.
 */
import { open, readdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { logBytesMax } from "./logs/log-files.ts";
import { timesFile } from "./logs/stamper.ts";

/** Cuts every log under `root` that has grown beyond the bound back to its second half. */
export async function boundLogs(root: string): Promise<void> {
  const names = await readdir(root, { recursive: true }).catch(() => []); // No logs yet.
  const present = new Set(names);
  const logs = names.filter((name) => name.endsWith(".log") && !present.has(timesFile(name)));
  for (const name of logs) await boundLog(join(root, name));
}

async function boundLog(file: string): Promise<void> {
  const handle = await open(file, "r").catch(() => undefined);
  if (handle === undefined) return; // It has just been removed.
  try {
    const { size } = await handle.stat();
    if (size <= logBytesMax) return;
    const kept = Buffer.alloc(logBytesMax / 2);
    await handle.read(kept, 0, kept.length, size - kept.length);
    // Writers append, so they go on after what is put back.
    await truncate(file, 0);
    await writeFile(file, kept.subarray(kept.indexOf(0x0a) + 1), { flag: "a" });
  } finally {
    await handle.close();
  }
}
