/**
 * Envoy's URI templates → regular expressions. Pure.
 *
 *   "/a/{id}/**" ─▶ compileUriTemplate() ─▶ regex with named groups        "/b/{id}" ─▶ compileTemplateRewrite()
 *
 *   *  one segment     **  any number of characters, at the end     {name}  one segment     {name=pattern}  the pattern
 *
 * Source: envoy.extensions.path.match.uri_template.v3, envoy.extensions.path.rewrite.uri_template.v3.
 */
type Fail = (why: string) => Error;

export interface UriTemplate {
  /** Matches the whole path. */
  readonly regex: RegExp;
  readonly variables: readonly string[];
}

/** Most variables of one template, as in Envoy. */
const variablesMax = 5;
const segment = "[^/]+";
const rest = ".*";

export function compileUriTemplate(text: string, fail: Fail): UriTemplate {
  if (!text.startsWith("/")) throw fail("it does not start with /");
  const variables: string[] = [];
  let source = "";
  for (const [token] of text.matchAll(/\{[^}]*\}?|\*\*|\*|[^{*]+|\{/g)) {
    if (token === "*" || token === "**") source += pattern(token);
    else if (token.startsWith("{")) {
      const found = /^\{([A-Za-z_][A-Za-z0-9_]*)(?:=([^}]+))?\}$/.exec(token);
      if (found === null) throw fail(`${JSON.stringify(token)} is no variable, wanted {name} or {name=pattern}`);
      if (variables.includes(found[1]!)) throw fail(`variable ${found[1]!} is there twice`);
      variables.push(found[1]!);
      source += `(?<${found[1]!}>${(found[2] ?? "*").split("/").map(pattern).join("/")})`;
    } else source += RegExp.escape(token);
  }
  if (variables.length > variablesMax) throw fail(`it has more than ${variablesMax} variables`);
  return { regex: new RegExp(`^${source}$`), variables };
}

/** What stands for the path: the variables as `$<name>` of String.replace. */
export function compileTemplateRewrite(text: string, variables: readonly string[], fail: Fail): string {
  return text.replaceAll("$", "$$$$").replaceAll(/\{([^}]*)\}/g, (_all, name: string) => {
    if (!variables.includes(name)) throw fail(`variable ${name} is not in the path's template`);
    return `$<${name}>`;
  });
}

function pattern(part: string): string {
  if (part === "*") return segment;
  return part === "**" ? rest : RegExp.escape(part);
}
