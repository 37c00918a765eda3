/**
 * Label and field selectors: parsed once, then matched against many objects.
 *
 *   query parameters, LabelSelector of specs ─▶ Requirement[] ─▶ matchesLabels(), FieldMatcher
 *
 * Pure. Requirements are ANDed; no requirement matches everything.
 * Follows: k8s.io/apimachinery labels (parser) and fields.
 */
import type { LabelSelector } from "./meta.ts";
import { formatError } from "./schema/format.ts";
import { StatusError } from "./status.ts";

type Labels = Readonly<Record<string, string>> | undefined;

export interface Requirement {
  readonly key: string;
  readonly operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
  readonly values: readonly string[];
}

/** One term of a field selector. */
export interface FieldRequirement {
  readonly field: string;
  readonly equal: boolean;
  readonly value: string;
}

/** Whether `labels` meet all `requirements`. `NotIn` is met by a label that is not there. */
export function matchesLabels(requirements: readonly Requirement[], labels: Labels): boolean {
  return requirements.every(({ key, operator, values }) => {
    const value = labels !== undefined && Object.hasOwn(labels, key) ? labels[key] : undefined;
    switch (operator) {
      case "In":
        return value !== undefined && values.includes(value);
      case "NotIn":
        return value === undefined || !values.includes(value);
      case "Exists":
        return value !== undefined;
      case "DoesNotExist":
        return value === undefined;
    }
  });
}

/** The requirements of a spec's selector. An empty selector has none: it matches everything. */
export function toRequirements(selector: LabelSelector): Requirement[] {
  const equals = Object.entries(selector.matchLabels ?? {}).map(([key, value]): Requirement => ({
    key,
    operator: "In",
    values: [value],
  }));
  const expressions = (selector.matchExpressions ?? []).map(({ key, operator, values }): Requirement => ({
    key,
    operator,
    values: values ?? [],
  }));
  return [...equals, ...expressions];
}

/** Whether `labels` meet a spec's selector. */
export function matchesSelector(selector: LabelSelector, labels: Labels): boolean {
  return matchesLabels(toRequirements(selector), labels);
}

/** Parses `app=reviews,version in (v1, v2),!canary`. Throws BadRequest. */
export function parseLabelSelector(text: string): Requirement[] {
  return splitTerms(text).map((term) => {
    const requirement = parseTerm(term);
    if (requirement === undefined)
      throw new StatusError(
        "BadRequest",
        `Cannot parse label selector ${JSON.stringify(text)}: got ${JSON.stringify(term)}, wanted key=value, key!=value, key in (a,b), key notin (a,b), key or !key`,
      );
    checkTerm(requirement, text);
    return requirement;
  });
}

/** The text of `requirements`, which `parseLabelSelector` reads back. */
export function formatLabelSelector(requirements: readonly Requirement[]): string {
  return requirements
    .map(({ key, operator, values }) => {
      switch (operator) {
        case "Exists":
          return key;
        case "DoesNotExist":
          return `!${key}`;
        case "In":
          return values.length === 1 ? `${key}=${values[0]}` : `${key} in (${values.join(",")})`;
        case "NotIn":
          return values.length === 1 ? `${key}!=${values[0]}` : `${key} notin (${values.join(",")})`;
      }
    })
    .join(",");
}

/** Parses `spec.nodeName=n1,status.phase!=Failed`. Throws BadRequest. */
export function parseFieldSelector(text: string): FieldRequirement[] {
  return text
    .split(",")
    .filter((term) => term.trim() !== "")
    .map((term) => {
      const match = /^\s*([^=!\s]+)\s*(==|=|!=)\s*(.*?)\s*$/.exec(term);
      if (match === null)
        throw new StatusError(
          "BadRequest",
          `Cannot parse field selector ${JSON.stringify(text)}: got ${JSON.stringify(term)}, wanted field=value or field!=value`,
        );
      return { field: match[1] ?? "", equal: match[2] !== "!=", value: match[3] ?? "" };
    });
}

/** Splits at commas that are not between parentheses; drops empty terms, as `a=b,` has one. */
function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let depth = 0;
  let start = 0;
  for (let index = 0; index <= text.length; index++) {
    const character = text[index];
    if (character === "(") depth++;
    else if (character === ")") depth--;
    else if (character === undefined || (character === "," && depth <= 0)) {
      terms.push(text.slice(start, index).trim());
      start = index + 1;
    }
  }
  return terms.filter((term) => term !== "");
}

function parseTerm(term: string): Requirement | undefined {
  const set = /^([^\s=!,()]+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(term);
  if (set !== null) {
    const values = (set[3] ?? "").split(",").map((value) => value.trim());
    return { key: set[1] ?? "", operator: set[2] === "in" ? "In" : "NotIn", values };
  }
  const equality = /^([^\s=!,()]+)\s*(==|=|!=)\s*([^\s=!,()]*)$/.exec(term);
  if (equality !== null)
    return { key: equality[1] ?? "", operator: equality[2] === "!=" ? "NotIn" : "In", values: [equality[3] ?? ""] };
  const existence = /^(!?)\s*([^\s=!,()]+)$/.exec(term);
  if (existence === null) return undefined;
  return { key: existence[2] ?? "", operator: existence[1] === "!" ? "DoesNotExist" : "Exists", values: [] };
}

function checkTerm({ key, values }: Requirement, text: string): void {
  const keyError = formatError("qualifiedName", key);
  const valueError = values.map((value) => formatError("labelValue", value)).find((error) => error !== undefined);
  const error = keyError ?? valueError;
  if (error !== undefined)
    throw new StatusError("BadRequest", `Cannot parse label selector ${JSON.stringify(text)}: ${error}`);
}
