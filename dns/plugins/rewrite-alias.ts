/**
 * rewrite cname: an alias in an answer leads elsewhere, and what is there is looked up.
 *
 *   Answer ─▶ first alias that fits ─▶ its new target, asked of the whole chain ─▶ Answer
 *
 * Bounded: lookups for one query nest as deep as chains of aliases may be long. Follows: CoreDNS plugin/rewrite.
 */
import { type Answer, recordsOf, withRecords } from "../answer.ts";
import type { Handler, Outcome, Request } from "../plugin.ts";
import { rcodes, types } from "../wire/constants.ts";
import { targetOf } from "../wire/data.ts";
import { derivedQuery } from "../wire/query.ts";
import type { RR } from "../wire/record.ts";
import { cnameChainMax } from "../zone.ts";

/** Where an alias with this target (a key) leads instead; undefined: where it did. */
export type Retarget = (target: string) => string | undefined;

/** Goes on with an answer at once where it is there at once. */
export function onAnswer<T>(outcome: Outcome, go: (answer: Answer) => T): T | Promise<Awaited<T>> {
  return outcome instanceof Promise ? (outcome.then(go) as Promise<Awaited<T>>) : go(outcome);
}

/** The answer with the first alias that a rule is for led elsewhere, and what is found there behind it. */
export function follow(
  request: Request,
  answer: Answer,
  { retargets, whole }: { readonly retargets: readonly Retarget[]; readonly whole: Handler },
): Outcome {
  const { query, depth } = request;
  if (answer.rcode < 0 || depth >= cnameChainMax) return answer;
  const { answer: records } = recordsOf(query, answer);
  for (const [index, record] of records.entries()) {
    const target = record.type === types.cname ? targetOf(record) : undefined;
    if (target === undefined) continue;
    const elsewhere = retargets.map((retarget) => retarget(target)).find((each) => each !== undefined);
    if (elsewhere === undefined) continue;
    const alias: RR = { ...record, data: Buffer.from(elsewhere, "latin1") };
    const kept = [...records.slice(0, index), alias];
    if (query.type === types.cname) return withRecords(query, answer, { answer: kept });
    const asked = derivedQuery(query, elsewhere);
    return onAnswer(whole({ ...request, query: asked, depth: depth + 1 }), (found) => {
      const more = found.rcode < 0 ? [] : recordsOf(asked, found).answer;
      const rcode = found.rcode < 0 ? rcodes.servFail : found.rcode;
      return withRecords(
        query,
        { ...answer, rcode, isLive: answer.isLive || found.isLive },
        { answer: [...kept, ...more] },
      );
    });
  }
  return answer;
}
