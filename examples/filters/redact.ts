/**
 * A filter that takes card numbers out of text responses, across the borders of slices.
 *
 *   config: { "replacement": "[card]" }
 *
 * Digits at the end of a slice are kept back until it is known whether a number goes on.
 */
import type { FilterModule } from "#proxy/l7/filters/modules.ts";

const digitsMin = 13;
const digitsMax = 19;

const filter: FilterModule = {
  configure(config) {
    const { replacement = "[card]" } = config as { replacement?: string };
    return () => {
      let isText = false;
      let kept = "";
      return {
        onResponseHeaders(context) {
          const type = context.responseHeaders.get("content-type") ?? "";
          isText =
            /^(text\/|application\/json)/.test(type) && context.responseHeaders.get("content-encoding") === undefined;
          return "continue";
        },
        onResponseData(_context, data) {
          if (!isText) return "continue";
          const text = kept + data.toString("latin1");
          kept = /\d{0,64}$/.exec(text)![0];
          return Buffer.from(redact(text.slice(0, text.length - kept.length), replacement), "latin1");
        },
        onResponseEnd() {
          return isText && kept !== "" ? Buffer.from(redact(kept, replacement), "latin1") : undefined;
        },
      };
    };
  },
};
export default filter;

function redact(text: string, replacement: string): string {
  return text.replace(/\d{13,}/g, (digits) =>
    digits.length >= digitsMin && digits.length <= digitsMax ? replacement : digits,
  );
}
