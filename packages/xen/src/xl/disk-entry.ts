import { quoted } from "./error.ts";
import type { SettingReader } from "./setting-reader.ts";
import { placeInAtom } from "./value.ts";
import type { XlAtom, XlPosition } from "./value.ts";

const FORMATS = ["raw", "qcow", "qcow2", "vhd", "qed", "empty"] as const;
const BACKEND_TYPES = ["phy", "tap", "qdisk", "standalone"] as const;

/** What the image of a disk is. */
export type XlDiskFormat = (typeof FORMATS)[number];

/** An entry of `disk`. */
export interface XlDisk extends XlPosition {
  /** File, device or what a script takes; empty when a drive has no medium. */
  readonly target: string;
  readonly format: XlDiskFormat;
  /** Name in the guest: "hda", "xvdb", "sdc". */
  readonly vdev: string;
  readonly readOnly: boolean;
  readonly cdrom: boolean;
  readonly specification: "xen" | "virtio";
  readonly backendtype: (typeof BACKEND_TYPES)[number] | null;
  /** All other options; those without a value have an empty one. */
  readonly options: Readonly<Record<string, string>>;
}

/** Written in front of a target in the days of xm. */
const OLD_PREFIX = /^([a-z][a-z0-9]*):/;
const OLD_FORMATS = /^(?:raw|qcow2?|vhd)$/;
const OLD_SCRIPTS = /^(?:iscsi|e?nbd|drbd)$/;
const OLD_BACKENDS = /^(?:tapdisk|tap2?|aio|ioemu|file|phy)$/;

const WORDS = /^(?:direct-io-safe|(?:no-)?discard|(?:no-)?colo|(?:un)?trusted)$/;
const TEXTS = /^(?:backend|script|colo-(?:host|port|export)|active-disk|hidden-disk|grant_usage)$/;

/** The entries of `disk`, in any of the ways to write one (xl-disk-configuration). */
export function readDisks(reader: SettingReader): XlDisk[] {
  return reader.strings("disk").map((entry) => new DiskEntry(entry, reader).read());
}

class DiskEntry {
  readonly #entry: XlAtom;
  readonly #reader: SettingReader;
  #target: string | null = null;
  #format: XlDiskFormat | null = null;
  #vdev: string | null = null;
  #access = "rw";
  #accessStood = false;
  #cdrom = false;
  #specification: "xen" | "virtio" = "xen";
  #backendtype: XlDisk["backendtype"] = null;
  #oldPrefix = false;
  readonly #options: { [option: string]: string; script?: string } = {};

  constructor(entry: XlAtom, reader: SettingReader) {
    this.#entry = entry;
    this.#reader = reader;
  }

  read(): XlDisk {
    const { text, line, column } = this.#entry;
    for (let at = 0; at < text.length;) at = this.#piece(at);
    const target = this.#target ?? "";
    if (this.#vdev === null) {
      this.#refuse(0, `"disk" has no vdev in ${quoted(text)}`, "add vdev= with a name as xvda");
    } else if (target === "" && !this.#cdrom && this.#format !== "empty") {
      this.#refuse(
        0,
        `"disk" has no target in ${quoted(text)}`,
        "add target= with a file or device",
      );
    }
    const empty = this.#cdrom && target === "";
    return {
      ...{ line, column, target },
      format: empty ? "empty" : (this.#format ?? "raw"),
      vdev: this.#vdev ?? "",
      readOnly: this.#cdrom || this.#access === "r" || this.#access === "ro",
      cdrom: this.#cdrom,
      specification: this.#specification,
      backendtype: this.#backendtype,
      options: this.#options,
    };
  }

  /** Reads what begins there, and returns where the next piece begins. */
  #piece(start: number): number {
    const { text } = this.#entry;
    const at = start + /^\s*/.exec(text.slice(start))![0].length;
    const prefix = OLD_PREFIX.exec(text.slice(at))?.[1];
    if (prefix !== undefined && this.#prefix(prefix, at)) return at + prefix.length + 1;
    if (text.startsWith("target=", at)) {
      // a target may have commas, and so takes all that is left
      this.#setTarget(text.slice(at + "target=".length).replace(/,$/, ""), at);
      return text.length;
    }
    const comma = text.indexOf(",", at);
    const end = comma < 0 ? text.length : comma;
    const piece = text.slice(at, end).trimEnd();
    const equals = piece.indexOf("=");
    if (equals >= 0) this.#option(piece.slice(0, equals), piece.slice(equals + 1), at);
    else if (piece === "cdrom") this.#cdrom = true;
    else if (WORDS.test(piece)) this.#options[piece] = "";
    else this.#positional(piece, at);
    return end + 1;
  }

  /** False when it is none: "hdc:cdrom" has a colon too. */
  #prefix(prefix: string, at: number): boolean {
    if (OLD_FORMATS.test(prefix)) this.#setFormat(prefix, at);
    else if (OLD_SCRIPTS.test(prefix)) this.#options.script = `block-${prefix}`;
    else if (!OLD_BACKENDS.test(prefix)) {
      const next = this.#entry.text[at + prefix.length + 1] ?? "";
      if (/[a-z0-9]/.test(next)) return false;
      const remedy = "give the target behind target=";
      this.#refuse(at, `"disk" has a prefix ${quoted(`${prefix}:`)} that xl does not know`, remedy);
    }
    this.#oldPrefix = true;
    return true;
  }

  #option(key: string, value: string, at: number): void {
    const choose = <T extends string>(choices: readonly T[]): T | null => {
      const found = choices.find((choice) => choice === value);
      if (found !== undefined) return found;
      const valueAt = at + key.length + 1;
      this.#refuse(valueAt, `${quoted(key)} is ${quoted(value)}`, `give ${choices.join(" or ")}`);
      return null;
    };
    if (key === "format") this.#setFormat(value, at + key.length + 1);
    else if (key === "vdev") this.#setVdev(value, at);
    else if (key === "access") this.#setAccess(value, at + key.length + 1);
    else if (key === "devtype") this.#cdrom = choose(["cdrom", "disk"] as const) === "cdrom";
    else if (key === "backendtype") this.#backendtype = choose(BACKEND_TYPES);
    else if (key === "specification") {
      this.#specification = choose(["xen", "virtio"] as const) ?? "xen";
    } else if (TEXTS.test(key)) {
      if (key !== "grant_usage" && (this.#options[key] ?? "") !== "") this.#twice(key, at);
      this.#options[key] = value;
    } else {
      this.#refuse(
        at,
        `"disk" has no key ${quoted(key)}`,
        "see xl-disk-configuration for those it has",
      );
    }
  }

  /** Target, format, vdev and access, in this order. */
  #positional(piece: string, at: number): void {
    if (this.#target === null) this.#target = piece;
    else if (!this.#oldPrefix && this.#format === null) {
      if (this.#target === "" && this.#vdevWithType(piece, at)) this.#format = "empty";
      else this.#setFormat(piece, at);
    } else if (this.#vdev === null) {
      if (!this.#vdevWithType(piece, at)) this.#vdev = piece;
    } else if (!this.#accessStood) {
      this.#accessStood = true;
      this.#setAccess(piece, at);
    } else if (piece !== "") {
      this.#refuse(
        at,
        `"disk" has ${quoted(piece)} behind target, format, vdev and access`,
        "write it as key=value",
      );
    }
  }

  /** "hdc:cdrom". */
  #vdevWithType(piece: string, at: number): boolean {
    const colon = piece.lastIndexOf(":");
    if (colon < 0) return false;
    const type = piece.slice(colon + 1);
    if (type !== "cdrom" && type !== "disk") {
      this.#refuse(at + colon + 1, `"disk" has the type ${quoted(type)}`, "give cdrom or disk");
    }
    this.#cdrom = type === "cdrom";
    this.#setVdev(piece.slice(0, colon), at);
    return true;
  }

  #setTarget(target: string, at: number): void {
    if (this.#target !== null && this.#target !== "") this.#twice("target", at);
    this.#target = target;
  }

  #setVdev(vdev: string, at: number): void {
    if (this.#vdev !== null && this.#vdev !== "") this.#twice("vdev", at);
    this.#vdev = vdev;
  }

  #setFormat(text: string, at: number): void {
    const format = text === "" ? "raw" : FORMATS.find((known) => known === text);
    if (format === undefined) {
      this.#format ??= "raw"; // what follows is no other format
      this.#refuse(at, `"disk" has the format ${quoted(text)}`, `give ${FORMATS.join(" or ")}`);
    } else if (this.#format !== null && this.#format !== format) this.#twice("format", at);
    else this.#format = format;
  }

  #setAccess(access: string, at: number): void {
    if (/^(?:r|ro|rw|w|)$/.test(access)) this.#access = access;
    else this.#refuse(at, `"disk" has the access ${quoted(access)}`, "give rw or ro");
  }

  #twice(what: string, at: number): void {
    this.#refuse(at, `"disk" has a second ${what}`, "keep one of them");
  }

  #refuse(offset: number, text: string, remedy: string): void {
    this.#reader.refuse(placeInAtom(this.#entry, offset), text, remedy);
  }
}
