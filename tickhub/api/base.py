"""What the views of the API share: who may read, and which parameters are refused before anything is asked."""

from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from tickhub.api import parameters


class ReadView(APIView):
    """A view that whoever reaches the service may ask, and that changes nothing."""

    permission_classes = (AllowAny,)
    authentication_classes = ()

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        parameters.refuse_unreadable(request.query_params)
