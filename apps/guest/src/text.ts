/** A whole number with commas between groups of three digits. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** "1 event", "2,000 events". */
export function plural(value: number, noun: string, several = `${noun}s`): string {
  return `${count(value)} ${value === 1 ? noun : several}`;
}

/** "512 MiB", "1.5 GiB": in the largest unit that leaves a whole part. */
export function bytes(value: number): string {
  const power = value < 1024 ? 0 : Math.min(3, Math.floor(Math.log2(value) / 10));
  const scaled = value / 1024 ** power;
  const digits = Number.isInteger(scaled) || scaled >= 100 ? 0 : 1;
  return `${scaled.toFixed(digits)} ${["bytes", "KiB", "MiB", "GiB"][power]!}`;
}

/** Breaks a text between words into lines of at most `columns`, each behind `indent`. */
export function wrap(text: string, columns: number, indent: string): string {
  const lines = [indent];
  for (const word of text.split(" ")) {
    const last = lines.at(-1)!;
    const next = last.trim() === "" ? last + word : `${last} ${word}`;
    if (next.length <= columns || last.trim() === "") lines[lines.length - 1] = next;
    else lines.push(indent + word);
  }
  return lines.join("\n");
}
