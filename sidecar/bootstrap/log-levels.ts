/**
 * A logger whose level can be changed while it runs, by Envoy's names of levels.
 *
 *   --log-level, POST /logging?level= ─▶ LogLevels ─▶ Logger
 */
import { type Level, type Logger, createLogger, silentLogger } from "#lib/log.ts";

type LevelName = "trace" | "debug" | "info" | "warning" | "error" | "critical" | "off";

const byName: Readonly<Record<LevelName, Level | "off">> = {
  trace: "debug",
  debug: "debug",
  info: "info",
  warning: "warn",
  error: "error",
  critical: "error",
  off: "off",
};

/** Envoy's levels. What is written is the same for trace and debug, and for error and critical. */
export const levelNames: readonly LevelName[] = Object.keys(byName) as LevelName[];

/** The levels in words. */
export const levelWords: string = `${levelNames.slice(0, -1).join(", ")} or ${levelNames.at(-1)}`;

export class LogLevels {
  readonly log: Logger;
  #current: LevelName;
  readonly #loggers: Readonly<Record<Level | "off", Logger>>;

  /** `component` stands in each line. `write`: where lines go, default standard error. */
  constructor(component: string, level: LevelName, write?: (line: string) => void) {
    this.#current = level;
    this.#loggers = {
      debug: createLogger(component, "debug", write),
      info: createLogger(component, "info", write),
      warn: createLogger(component, "warn", write),
      error: createLogger(component, "error", write),
      off: silentLogger,
    };
    this.log = this.#delegate({});
  }

  /** By the name that it was given. */
  get current(): LevelName {
    return this.#current;
  }

  /** False: there is no such level. "warn" is "warning", as in Envoy. */
  set(name: string): boolean {
    const level = levelNames.find((one) => one === (name === "warn" ? "warning" : name));
    if (level === undefined) return false;
    this.#current = level;
    return true;
  }

  #delegate(fields: Parameters<Logger["with"]>[0]): Logger {
    const to = (): Logger => this.#loggers[byName[this.#current]];
    return {
      debug: (message, more) => to().debug(message, { ...fields, ...more }),
      info: (message, more) => to().info(message, { ...fields, ...more }),
      warn: (message, more) => to().warn(message, { ...fields, ...more }),
      error: (message, more) => to().error(message, { ...fields, ...more }),
      with: (more) => this.#delegate({ ...fields, ...more }),
    };
  }
}
