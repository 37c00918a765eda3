/**
 * A logger whose level can be changed while it runs, by Envoy's names of levels.
 *
 *   --log-level, POST /logging?level= ─▶ LogLevels ─▶ Logger
 */
import { type Level, type Logger, createLogger } from "#lib/log.ts";

const byEnvoyName: Readonly<Record<string, Level>> = {
  trace: "debug",
  debug: "debug",
  info: "info",
  warning: "warn",
  warn: "warn",
  error: "error",
  critical: "error",
  off: "error",
};

export class LogLevels {
  readonly log: Logger;
  #current: Level;
  readonly #loggers: Readonly<Record<Level, Logger>>;

  /** `component` stands in each line. */
  constructor(component: string, level: Level) {
    this.#current = level;
    this.#loggers = {
      debug: createLogger(component, "debug"),
      info: createLogger(component, "info"),
      warn: createLogger(component, "warn"),
      error: createLogger(component, "error"),
    };
    this.log = this.#delegate({});
  }

  get current(): string {
    return this.#current === "warn" ? "warning" : this.#current;
  }

  /** False: there is no such level. */
  set(name: string): boolean {
    const level = Object.hasOwn(byEnvoyName, name) ? byEnvoyName[name] : undefined;
    if (level === undefined) return false;
    this.#current = level;
    return true;
  }

  #delegate(fields: Parameters<Logger["with"]>[0]): Logger {
    const to = (): Logger => this.#loggers[this.#current];
    return {
      debug: (message, more) => to().debug(message, { ...fields, ...more }),
      info: (message, more) => to().info(message, { ...fields, ...more }),
      warn: (message, more) => to().warn(message, { ...fields, ...more }),
      error: (message, more) => to().error(message, { ...fields, ...more }),
      with: (more) => this.#delegate({ ...fields, ...more }),
    };
  }
}
