/**
 * Leveled logging: one JSON object a line on standard error.
 *
 * Invariant: nothing secret is ever a field; callers log names, counts and codes.
 */
export type Level = "debug" | "info" | "warn" | "error";
export type Fields = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Logger {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  /** A logger that adds `fields` to each line. */
  with(fields: Fields): Logger;
}

const order: readonly Level[] = ["debug", "info", "warn", "error"];

/** A logger that writes lines of at least `level` to `write` (default: standard error). */
export function createLogger(
  component: string,
  level: Level = "info",
  write: (line: string) => void = (line) => void process.stderr.write(line),
): Logger {
  const emit = (at: Level, message: string, fields: Fields): void => {
    if (order.indexOf(at) < order.indexOf(level)) return;
    write(`${JSON.stringify({ time: new Date().toISOString(), level: at, component, message, ...fields })}\n`);
  };
  const make = (base: Fields): Logger => ({
    debug: (message, fields) => emit("debug", message, { ...base, ...fields }),
    info: (message, fields) => emit("info", message, { ...base, ...fields }),
    warn: (message, fields) => emit("warn", message, { ...base, ...fields }),
    error: (message, fields) => emit("error", message, { ...base, ...fields }),
    with: (fields) => make({ ...base, ...fields }),
  });
  return make({});
}

/** A logger that drops everything, for tests. */
export const silentLogger: Logger = createLogger("silent", "error", () => {});
