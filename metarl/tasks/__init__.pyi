from .environment import Environment as Environment
from .folder import image_folder as image_folder
from .image_classes import ImageClasses as ImageClasses
from .images import Images as Images
from .joint import Joint as Joint
from .miniimagenet import miniimagenet as miniimagenet
from .omniglot import omniglot as omniglot
from .sinusoid import Sinusoid as Sinusoid
