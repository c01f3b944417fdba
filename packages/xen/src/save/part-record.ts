/** Name and record of a part, as words: number of bytes of the record, characters of the name, both. */
export function encodePart(name: string, record: Uint8Array): Int32Array {
  const words = new Int32Array(2 + name.length + Math.ceil(record.length / 4));
  words[0] = record.length;
  words[1] = name.length;
  for (let i = 0; i < name.length; i += 1) words[2 + i] = name.charCodeAt(i);
  new Uint8Array(words.buffer).set(record, 4 * (2 + name.length));
  return words;
}

/** What {@link encodePart} has made; null when it cannot have. */
export function decodePart(words: Int32Array): { name: string; record: Uint8Array } | null {
  const [bytes = -1, characters = -1] = words;
  if (bytes < 0 || characters < 0) return null;
  if (2 + characters + Math.ceil(bytes / 4) !== words.length) return null;
  const codes = words.subarray(2, 2 + characters);
  const name = Array.from(codes, (code) => String.fromCharCode(code)).join("");
  return { name, record: new Uint8Array(words.buffer, 4 * (2 + characters), bytes) };
}
