/**
 * Applies header mutations to a head. Pure.
 *
 *   HeaderMutations (config/headers.ts) + record ─▶ mutate(editor) ─▶ the editor's headers
 *
 * Values are made of the headers as they are at that moment, so that one level sees what the level before it did. A
 * value that comes out empty adds nothing, unless it is to be kept. Source: Envoy's custom request/response headers.
 */
import type { FormatRecord } from "../accesslog/types.ts";
import type { HeadersEditor } from "./head-editor.ts";
import type { HeaderAdd, HeaderMutations } from "./types.ts";

export function mutate(editor: HeadersEditor, levels: readonly HeaderMutations[], record: () => FormatRecord): void {
  for (const { removes, adds } of levels) {
    for (const key of removes) editor.remove(key);
    for (const add of adds) applyAdd(editor, add, record);
  }
}

function applyAdd(
  editor: HeadersEditor,
  { name, key, value, action, keepsEmpty }: HeaderAdd,
  record: () => FormatRecord,
): void {
  const text = value.constant ?? safe(value.render(record(), ""));
  if (text === "" && !keepsEmpty) return;
  switch (action) {
    case "append":
      return editor.append(name, text);
    case "addIfAbsent":
      if (!editor.has(key)) editor.append(name, text);
      return;
    case "overwrite":
      return editor.set(name, text);
    case "overwriteIfExists":
      if (editor.has(key)) editor.set(name, text);
      return;
  }
}

/** What came from outside must not end the line: heads are checked, but not everything in a record is a head. */
function safe(text: string): string {
  return text.replaceAll(/[\r\n\0]/g, "");
}
