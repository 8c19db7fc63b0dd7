"""A backend of matplotlib whose windows are invisible: it counts what is shown in them."""

from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

seconds = []


class Manager(FigureManagerBase):
    def show(self):
        pass


class Canvas(FigureCanvasAgg):
    manager_class = Manager

    def start_event_loop(self, timeout=0):
        seconds.append(timeout)
        self.draw()


FigureCanvas, FigureManager = Canvas, Manager
