from tests.gallery.conftest import ordinary_promotion as ordinary_promotion
