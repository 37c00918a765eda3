/**
 * A transaction of elements as netlink messages. Pure.
 *
 *   compiler.ts ─ add(), delete() ─▶ Batch ─ finish() ─▶ link.ts
 *
 *   BATCH_BEGIN, NEWSETELEM or DELSETELEM with up to 64 KiB of elements each, BATCH_END
 *
 * Sources: include/uapi/linux/netlink.h, netfilter/nfnetlink.h, netfilter/nf_tables.h.
 */
import { aligned, type Layout, lengthOf, put } from "./layout.ts";

const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFT_MSG_NEWSETELEM = (NFNL_SUBSYS_NFTABLES << 8) | 12;
const NFT_MSG_DELSETELEM = (NFNL_SUBSYS_NFTABLES << 8) | 14;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_CREATE = 0x400;
const NLA_F_NESTED = 0x8000;
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
const NFTA_LIST_ELEM = 1;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_SET_ELEM_DATA = 2;
const NFTA_DATA_VALUE = 1;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;
const NFTA_VERDICT_CHAIN = 2;
/** enum nft_verdicts, and NF_DROP and NF_ACCEPT. */
const verdicts: Readonly<Record<string, number>> = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 };
const families = { ip: 2, ip6: 10 } as const;

/** An attribute's length has 16 bits; the largest element is far shorter than what is left. */
const elementsBytesMax = 64_000;
/** What a socket takes by default, net.core.wmem_default less the kernel's own. */
const batchBytesMax = 212_000;
/** More than any element of ours: two keys of IPv6, or a chain's name. */
const elementBytesMax = 1024;

/** Whose elements: `ip`, `wherry-proxy`, `slots-tcp`. */
export interface Target {
  readonly family: keyof typeof families;
  readonly table: string;
  readonly collection: string;
  readonly layout: Layout;
}

export class Batch {
  #buffer: Buffer = Buffer.alloc(4096);
  #at = 0;
  /** Where the last message of elements begins. */
  #lastMessage = -1;

  constructor() {
    this.#mark(NFNL_MSG_BATCH_BEGIN);
  }

  /** Adds elements `KEY : VALUE`, or `KEY` of a set, in nft's words; false if they do not fit the layout, or no more fit. */
  add(target: Target, elements: readonly string[]): boolean {
    return this.#message(NFT_MSG_NEWSETELEM, target, elements);
  }

  /** Deletes the elements of those keys; false as with `add`. */
  delete(target: Target, keys: readonly string[]): boolean {
    return this.#message(NFT_MSG_DELSETELEM, target, keys);
  }

  /** The bytes to send. The kernel's answer is about its last message of elements, and about those that it refuses. */
  finish(): Buffer {
    const flags = this.#buffer.readUInt16LE(this.#lastMessage + 6);
    this.#buffer.writeUInt16LE(flags | NLM_F_ACK, this.#lastMessage + 6);
    this.#mark(NFNL_MSG_BATCH_END);
    return this.#buffer.subarray(0, this.#at);
  }

  #message(type: number, { family, table, collection, layout }: Target, elements: readonly string[]): boolean {
    const isAddition = type === NFT_MSG_NEWSETELEM;
    let at = 0;
    while (at < elements.length) {
      const message = this.#header(type, NLM_F_REQUEST | (isAddition ? NLM_F_CREATE : 0), families[family], 0);
      this.#lastMessage = message;
      this.#text(NFTA_SET_ELEM_LIST_TABLE, table);
      this.#text(NFTA_SET_ELEM_LIST_SET, collection);
      const list = this.#open(NFTA_SET_ELEM_LIST_ELEMENTS);
      while (at < elements.length && this.#at - list < elementsBytesMax) {
        if (!this.#element(layout, elements[at++]!, isAddition) || this.#at > batchBytesMax) return false;
      }
      this.#close(list);
      this.#buffer.writeUInt32LE(this.#at - message, message);
    }
    return true;
  }

  #element({ key, value }: Layout, words: string, isAddition: boolean): boolean {
    this.#reserve(elementBytesMax);
    const valueAt = isAddition && value !== undefined ? words.indexOf(" : ") : words.length;
    const element = this.#open(NFTA_LIST_ELEM);
    const keyed = this.#open(NFTA_SET_ELEM_KEY);
    if (valueAt < 0 || !this.#value(key, words.slice(0, valueAt))) return false;
    this.#close(keyed);
    if (isAddition && value !== undefined) {
      const data = this.#open(NFTA_SET_ELEM_DATA);
      const valueWords = words.slice(valueAt + 3);
      if (!(value === "verdict" ? this.#verdict(valueWords) : this.#value(value, valueWords))) return false;
      this.#close(data);
    }
    this.#close(element);
    return true;
  }

  #value(fields: Layout["key"], words: string): boolean {
    const at = this.#open(NFTA_DATA_VALUE, 0);
    const isPut = put(this.#buffer, this.#at, fields, words);
    this.#at += lengthOf(fields);
    this.#close(at);
    return isPut;
  }

  #verdict(words: string): boolean {
    const [name = "", chain] = words.split(" ");
    const code = verdicts[name];
    const isNamed = name === "goto" || name === "jump";
    if (code === undefined || isNamed !== (chain !== undefined)) return false;
    if (chain !== undefined && chain.length > elementBytesMax / 4) return false;
    const at = this.#open(NFTA_DATA_VERDICT);
    const coded = this.#open(NFTA_VERDICT_CODE, 0);
    this.#buffer.writeInt32BE(code, this.#at);
    this.#at += 4;
    this.#close(coded);
    if (chain !== undefined) this.#text(NFTA_VERDICT_CHAIN, chain);
    this.#close(at);
    return true;
  }

  /** The begin or end of the transaction. */
  #mark(type: number): void {
    this.#header(type, NLM_F_REQUEST, 0, NFNL_SUBSYS_NFTABLES);
  }

  /** nlmsghdr and nfgenmsg. Returns where it begins. */
  #header(type: number, flags: number, family: number, resource: number): number {
    this.#reserve(elementBytesMax);
    const at = this.#at;
    this.#buffer.writeUInt32LE(20, at);
    this.#buffer.writeUInt16LE(type, at + 4);
    this.#buffer.writeUInt16LE(flags, at + 6);
    this.#buffer[at + 16] = family;
    this.#buffer.writeUInt16BE(resource, at + 18);
    this.#at += 20;
    return at;
  }

  /** Begins an attribute. Returns where. */
  #open(type: number, nested = NLA_F_NESTED): number {
    this.#buffer.writeUInt16LE(type | nested, this.#at + 2);
    this.#at += 4;
    return this.#at - 4;
  }

  #close(at: number): void {
    this.#buffer.writeUInt16LE(this.#at - at, at);
    this.#at = aligned(this.#at);
  }

  /** Text with a zero behind it. */
  #text(type: number, text: string): void {
    const at = this.#open(type, 0);
    this.#at += this.#buffer.write(text, this.#at, "latin1") + 1;
    this.#close(at);
  }

  /** What is beyond `#at` is always zeros. */
  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const larger = Buffer.alloc(2 * this.#buffer.length + bytes);
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }
}
