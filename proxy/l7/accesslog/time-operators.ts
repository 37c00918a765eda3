/** Operators that are times of the clock. Pure. Source: Envoy, START_TIME and its like. */
import { compileTime } from "./time.ts";
import type { FormatRecord, OperatorSpec } from "./types.ts";

export const timeOperators: Readonly<Record<string, OperatorSpec>> = {
  START_TIME: timeOperator(false, ({ startMs }) => startMs),
  START_TIME_LOCAL: timeOperator(true, ({ startMs }) => startMs),
  EMIT_TIME: timeOperator(false, nowOf),
  EMIT_TIME_LOCAL: timeOperator(true, nowOf),
};

function timeOperator(isLocal: boolean, timeOf: (record: FormatRecord) => number | undefined): OperatorSpec {
  return {
    wantsArgument: false,
    make(argument, fail) {
      const format = compileTime(argument, fail, isLocal);
      return (record) => {
        const ms = timeOf(record);
        return ms === undefined ? undefined : format(ms);
      };
    },
  };
}

/** A log is written when its exchange ends. */
function nowOf({ startMs, elapsedMs, durationMs }: FormatRecord): number | undefined {
  return startMs === undefined ? undefined : startMs + (elapsedMs ?? durationMs);
}
