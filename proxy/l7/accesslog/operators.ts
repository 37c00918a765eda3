/**
 * The operators there are, by name. README.md has them in a table; operators.test.ts holds the two together.
 *
 *   template.ts (NAME, argument) ─▶ compileOperator() ─▶ Operator
 */
import { messageOperators } from "./message-operators.ts";
import { metadataOperators } from "./metadata-operators.ts";
import { streamOperators } from "./stream-operators.ts";
import { tlsOperators } from "./tls-operators.ts";
import { timeOperators } from "./time-operators.ts";
import type { Fail, Operator, OperatorSpec } from "./types.ts";

export const operators: ReadonlyMap<string, OperatorSpec> = new Map(
  [messageOperators, streamOperators, timeOperators, tlsOperators, metadataOperators].flatMap((table) =>
    Object.entries(table),
  ),
);

/** The operator NAME or NAME(argument). */
export function compileOperator(name: string, argument: string | undefined, fail: Fail): Operator {
  const spec = operators.get(name);
  if (spec === undefined) throw fail(`operator ${name} is not supported`);
  if (typeof spec === "function") {
    if (argument !== undefined) throw fail(`operator ${name} takes no argument`);
    return spec;
  }
  if (spec.wantsArgument && (argument === undefined || argument === ""))
    throw fail(`operator ${name} wants an argument in parentheses`);
  return spec.make(argument ?? "", (why) => fail(`operator ${name}: ${why}`));
}
