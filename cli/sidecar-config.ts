/**
 * The bootstrap that the flags of `wherry sidecar` name: read and checked.
 *
 *   -c FILE, --config-yaml TEXT ─▶ readConfig() ─▶ sidecar.ts
 */
import { readFileSync } from "node:fs";
import { errnoOf, messageOf } from "#lib/errors.ts";
import { type BootstrapConfig, parseBootstrap } from "../sidecar/bootstrap/config.ts";
import { CliError } from "./errors.ts";

export interface ConfigFlags {
  readonly configPath?: string;
  readonly configYaml?: string;
  readonly serviceCluster?: string;
  readonly serviceNode?: string;
}

/** Throws CliError. */
export function readConfig({ configPath, configYaml, serviceNode, serviceCluster }: ConfigFlags): BootstrapConfig {
  if (configPath === undefined && configYaml === undefined)
    throw new CliError("Usage", "Cannot start sidecar: no configuration, wanted -c FILE or --config-yaml TEXT");
  const file = configPath === undefined ? [] : [{ name: configPath, text: readText(configPath) }];
  const texts = configYaml === undefined ? file : [...file, { name: "--config-yaml", text: configYaml }];
  try {
    return parseBootstrap(texts, { serviceNode, serviceCluster });
  } catch (error) {
    throw new CliError("Failed", messageOf(error), { cause: error });
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  ENOTDIR: "no such file",
  EISDIR: "it is a folder, wanted a file",
  EACCES: "permission denied",
};

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const why = reasons[errnoOf(error) ?? ""] ?? messageOf(error);
    throw new CliError("Failed", `Cannot read ${path}: ${why}`, { cause: error });
  }
}
