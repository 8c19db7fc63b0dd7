# How far a shot flies over flat ground, in metres, and for how many seconds.
# angle: degrees; speed: m/s; drag: 1/m, of the quadratic law. Classical Runge-Kutta steps; the last one, to the ground,
# is that of a parabola, so that without drag the range is speed^2 sin(2 angle)/g, the largest at 45 degrees.
function slope(vx, vy,    v) {
    v = sqrt(vx * vx + vy * vy)
    ax = -drag * v * vx
    ay = -g - drag * v * vy
}
BEGIN {
    g = 9.81; h = 0.02
    radians = angle * atan2(0, -1) / 180
    vx = speed * cos(radians); vy = speed * sin(radians)
    while (1) {
        slope(vx, vy); ax1 = ax; ay1 = ay
        slope(vx + h / 2 * ax1, vy + h / 2 * ay1); ax2 = ax; ay2 = ay
        slope(vx + h / 2 * ax2, vy + h / 2 * ay2); ax3 = ax; ay3 = ay
        slope(vx + h * ax3, vy + h * ay3)
        next_y = y + h * vy + h * h / 6 * (ay1 + ay2 + ay3)
        if (next_y < 0) break
        x += h * vx + h * h / 6 * (ax1 + ax2 + ax3)
        y = next_y
        vx += h / 6 * (ax1 + 2 * ax2 + 2 * ax3 + ax)
        vy += h / 6 * (ay1 + 2 * ay2 + 2 * ay3 + ay)
        t += h
    }
    left = (vy + sqrt(vy * vy - 2 * ay1 * y)) / -ay1
    printf "%.17g %.17g\n", x + left * vx + left * left / 2 * ax1, t + left
}
