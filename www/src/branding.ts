/**
 * Applies the accent colour of the operator. Text must stay readable with every colour: WCAG 2.2 asks for a contrast of
 * 4.5 (success criterion 1.4.3).
 */

type Rgb = [number, number, number];

const WHITE: Rgb = [255, 255, 255];
const BLACK: Rgb = [0, 0, 0];
const INK: Rgb = [17, 19, 24];

/**
 * The lightest and darkest grounds on which the pages show text in the accent colour. They are those of `style.css`.
 */
const GROUNDS: Record<"light" | "dark", { ground: Rgb; towards: Rgb }> = {
  light: { ground: [247, 248, 250], towards: BLACK },
  dark: { ground: [29, 31, 36], towards: WHITE },
};

const READABLE = 4.5;

export function applyAccent(accent: string | null, root = document.documentElement) {
  const colour = accent && parse(accent);
  if (!colour) return;
  for (const [name, value] of Object.entries(colours(colour))) root.style.setProperty(name, value);
}

/** Returns the custom properties for an accent colour. */
export function colours(accent: Rgb): Record<string, string> {
  const inverse = contrast(accent, WHITE) >= contrast(accent, INK) ? WHITE : INK;
  return {
    "--fill": text(accent),
    "--fill-hover": text(mix(accent, inverse === WHITE ? BLACK : WHITE, 0.12)),
    "--on-fill": text(inverse),
    "--accent-on-light": text(readable(accent, GROUNDS.light)),
    "--accent-on-dark": text(readable(accent, GROUNDS.dark)),
  };
}

/** Returns the colour nearest to the accent that is readable on a ground. */
function readable(accent: Rgb, { ground, towards }: { ground: Rgb; towards: Rgb }) {
  for (let share = 0; share < 1; share += 0.05) {
    const found = mix(accent, towards, share);
    if (contrast(found, ground) >= READABLE) return found;
  }
  return towards;
}

function parse(text: string): Rgb | undefined {
  const found = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(text);
  return found ? (found.slice(1).map((digits) => Number.parseInt(digits, 16)) as Rgb) : undefined;
}

function text(colour: Rgb) {
  return `#${colour.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

function mix(one: Rgb, other: Rgb, share: number) {
  return one.map((part, at) => Math.round(part + ((other[at] ?? 0) - part) * share)) as Rgb;
}

/** Returns the contrast ratio of two colours (WCAG 2.2). */
export function contrast(one: Rgb, other: Rgb) {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return ((light ?? 0) + 0.05) / ((dark ?? 0) + 0.05);
}

function luminance(colour: Rgb) {
  const [red, green, blue] = colour.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
