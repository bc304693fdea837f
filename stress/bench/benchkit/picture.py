"""Bar charts as SVG, by hand: no library is needed to look at them."""

import html

BAR, GAP, GROUP_GAP = 18, 4, 22
LEFT, CHART_WIDTH, RIGHT, TOP = 190, 470, 110, 64
COLOURS = ("#3b6ea5", "#d9822b", "#5a9e6f", "#8c6bb1", "#b0484f")


def text(x, y, content, anchor="start", size=12, weight="normal"):
    return (f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}" '
            f'font-weight="{weight}">{html.escape(content)}</text>')


def legend(series):
    parts, x = [], LEFT
    for index, name in enumerate(series):
        parts.append(f'<rect x="{x}" y="34" width="12" height="12" '
                     f'fill="{COLOURS[index % len(COLOURS)]}"/>')
        parts.append(text(x + 17, 44, name))
        x += 30 + 8 * len(name)
    return parts


def bars(title, unit, groups, series):
    """groups: list of (label, {series name: value}); one bar for each value that is there."""
    largest = max((value for _, values in groups for value in values.values()), default=1) or 1
    parts, y = [], TOP
    for label, values in groups:
        begin = y
        for index, name in enumerate(series):
            if name not in values:
                continue
            width = CHART_WIDTH * values[name] / largest
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" '
                         f'fill="{COLOURS[index % len(COLOURS)]}"/>')
            parts.append(text(LEFT + width + 6, y + BAR - 5, f"{values[name]:,.1f}"
                              if values[name] < 1000 else f"{values[name]:,.0f}"))
            y += BAR + GAP
        parts.append(text(LEFT - 10, (begin + y) / 2 + 2, label, anchor="end"))
        y += GROUP_GAP
    width = LEFT + CHART_WIDTH + RIGHT
    head = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" '
            f'viewBox="0 0 {width} {y}" font-family="sans-serif">',
            f'<rect width="{width}" height="{y}" fill="white"/>',
            text(10, 20, f"{title} ({unit})", size=15, weight="bold")]
    return "\n".join([*head, *legend(series), *parts, "</svg>"]) + "\n"
