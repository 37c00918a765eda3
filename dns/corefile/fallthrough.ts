/** `fallthrough [ZONES…]`: for which names a plugin that finds nothing asks the next one. */
import { type Directive, zonesOf } from "./directive.ts";

/** Keys of the zones: none without the option, all of the plugin's without arguments. */
export function fallthroughOf(block: readonly Directive[], pluginZones: readonly string[]): readonly string[] {
  const option = block.findLast(({ name }) => name === "fallthrough");
  return option === undefined ? [] : zonesOf(option, option.args, pluginZones);
}
