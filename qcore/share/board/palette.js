// One colour per method and per place in a comparison: those of the dashboard's pages.

export const METHOD_COLOURS = {
  "float": "#7B8494",
  "RTN": "#D55E00",
  "GPTQ": "#2B7BC4",
  "Qronos": "#0A8F6C",
  "GPFQ": "#B0579B",
  "activations only": "#8C7A2E",
  "uniform": "#9C7256",
  "random": "#6B8E23",
  "KL greedy": "#D9415D",
  "knapsack": "#12889A",
  "dMX": "#8A63D2",
  "manual": "#5F7DA8",
};
export const NEUTRAL = "#7B8494";
export const CHOSEN = "#E0A100";
export const RUN_COLOURS = ["#2B7BC4", "#D55E00", "#0A8F6C", "#B0579B", "#8C7A2E", "#8A63D2"];
export const RUN_DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
export const LETTERS = "ABCDEF";
