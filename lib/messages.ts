/**
 * Tables of what components tell people: code → what it means → what helps. One table a component, beside its
 * `errors.ts`.
 *
 *   messages.ts ─▶ cli/diagnosis/message-index.ts ─▶ wherry check, wherry explain CODE
 *
 * A table is a Record over the closed union of codes, so that a code without a row does not compile.
 */
export interface Message {
  /** What it means, in one sentence: upper-case start, no period. */
  readonly sentence: string;
  /** What helps: a command where there is one. Not empty. */
  readonly hint: string;
}

export type MessageTable<Code extends string> = Readonly<Record<Code, Message>>;
